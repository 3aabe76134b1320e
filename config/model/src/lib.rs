//! From what users write to what gateways obey: objects, settings, validation, and the pure function
//! objects -> [`topology::Topology`]. No I/O, no Kubernetes client, no clock.

pub mod compile;
mod load;
pub mod names;
pub mod objects;
pub mod period;
pub mod problem;
pub mod quantity;
pub mod read;
pub mod settings;
pub mod topology;

pub use compile::{CompileOptions, Compiled, compile};
pub use load::load;
pub use problem::{Problem, Problems};
pub use read::{Objects, Skipped, SourceFile, read};
pub use settings::Settings;
