//! The bodies of the fuzz targets: each reads arbitrary bytes with one parser and checks what must hold of the result.
//!
//! They are run by the fuzzer (`targets/`), and on the seeds by an ordinary test (`seeds.rs`). Whatever a parser refuses
//! is fine; a panic, here or in the parser, is a finding.

mod cesql;
mod config;
mod control_message;
mod events;
mod input;

pub use cesql::cesql;
pub use config::{manifests, periods, settings};
pub use control_message::control_message;
pub use events::{headers, structured, traceparent};

/// A fuzz target.
pub struct Target {
    /// Its name, which its file in `targets/` and its folder in `seeds/` share.
    pub name: &'static str,
    /// Its body.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    Target {
        name: "cesql",
        run: cesql,
    },
    Target {
        name: "control_message",
        run: control_message,
    },
    Target {
        name: "headers",
        run: headers,
    },
    Target {
        name: "manifests",
        run: manifests,
    },
    Target {
        name: "periods",
        run: periods,
    },
    Target {
        name: "settings",
        run: settings,
    },
    Target {
        name: "structured",
        run: structured,
    },
    Target {
        name: "traceparent",
        run: traceparent,
    },
];
