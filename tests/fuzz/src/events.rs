//! Events on HTTP, and the trace context beside them.

use bytes::Bytes;
use http::HeaderMap;
use towpath_event::http::{mode, read_binary, read_structured, write_binary, write_structured};
use towpath_event::{PassThrough, TraceContext};

use super::input::header_map;

/// A binary event that is read and written is the same event (C3.10).
pub fn headers(input: &[u8]) {
    let came = header_map(input);
    let _ = mode(&came);
    let _ = PassThrough::from_headers(&came);
    let attributes = match read_binary(&came) {
        Ok(attributes) => attributes,
        Err(invalid) => return drop(invalid.to_string()),
    };
    let mut written = HeaderMap::new();
    write_binary(&attributes, true, &mut written);
    assert_eq!(read_binary(&written), Ok(attributes));
}

/// A structured event that is read and written is the same event (C3.6), and it can be written in binary mode.
pub fn structured(input: &[u8]) {
    let event = match read_structured(&Bytes::copy_from_slice(input)) {
        Ok(event) => event,
        Err(invalid) => return drop(invalid.to_string()),
    };
    let written = write_structured(&event).unwrap().to_bytes().unwrap();
    assert_eq!(read_structured(&written).as_ref(), Ok(&event));
    let mut binary = HeaderMap::new();
    write_binary(&event.attributes, !event.payload.is_empty(), &mut binary);
    let again = read_binary(&binary).expect("a valid event is valid in binary mode");
    for (name, _) in event.attributes.iter() {
        assert!(again.get(name).is_some(), "{name} is lost");
    }
}

/// A trace context is always valid, is written as it is, and goes on in the same trace (C4.5).
pub fn traceparent(input: &[u8]) {
    let context = TraceContext::from_headers(&header_map(input));
    assert!(context.trace_id_hex().bytes().any(|digit| digit != b'0'));
    assert!(context.span_id_hex().bytes().any(|digit| digit != b'0'));
    assert_eq!(context.child().trace_id_hex(), context.trace_id_hex());
    let mut written = HeaderMap::new();
    context.write(&mut written);
    assert_eq!(TraceContext::from_headers(&written), context);
}
