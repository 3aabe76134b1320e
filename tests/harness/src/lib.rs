//! What black-box tests use: a sender, programmable subscribers, and the real binary as a child process.

pub mod answer;
pub mod bed;
pub mod command;
pub mod event;
pub mod gateway;
pub mod manifest;
pub mod measure;
pub mod memory;
pub mod meter;
pub mod metrics;
pub mod netns;
pub mod peers;
pub mod poll;
pub mod raw;
pub mod replica;
pub mod sender;
pub mod servers;
pub mod subscriber;
pub mod tap;
pub mod tls;
pub mod work;

pub use answer::{Answer, Gate};
pub use bed::Bed;
pub use event::{Event, Message, Spec};
pub use gateway::Gateway;
pub use meter::Meter;
pub use netns::Link;
pub use peers::Peers;
pub use replica::{Place, Pool};
pub use sender::{Response, Sender};
pub use subscriber::{Recorded, Subscriber};
pub use tap::Tap;
pub use work::Work;

/// What a test function returns; an error fails the test with its chain of causes.
pub type TestResult = anyhow::Result<()>;
