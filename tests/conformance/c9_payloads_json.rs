//! C3.9 with bulky payloads: subscribers that want `format: json`, with their data inside, or by reference.
