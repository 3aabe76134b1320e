//! The Kafka channel backend. Nothing is built yet: a channel with `backend: kafka` is refused, see README.md.
