//! CloudEvents as Towpath carries them: the event and its attributes and payload, and its forms on HTTP.
//!
//! The hot path keeps bytes: reading a binary event copies neither header values nor data, and writing it clones
//! reference counts. The crate knows no HTTP server and no broker; it works on `http::HeaderMap` and `bytes::Bytes`.

mod attributes;
pub mod cesql;
mod check;
mod claim;
pub mod control_message;
mod event;
pub mod filter;
pub mod http;
mod invalid;
mod media;
mod message;
mod name;
pub mod passthrough;
mod payload;
pub mod sdk;
mod set_aside;
pub mod trace;
mod value;

pub use attributes::{Attributes, SpecVersion};
pub use claim::{ClaimCheck, Digest, InvalidClaim, PayloadId, Place, is_store_name};
pub use event::Event;
pub use filter::{Filter, FilterIndex};
pub use invalid::Invalid;
pub use message::{Message, Origin};
pub use passthrough::PassThrough;
pub use payload::{Payload, Reader};
pub use set_aside::{Progress, Read, ReadError, SetAside};
pub use trace::TraceContext;
pub use value::Value;
