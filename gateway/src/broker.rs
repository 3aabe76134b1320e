//! What a broker does besides what a channel does: its loop guard, `knativebrokerttl` (CONTRACT C7).

use towpath_event::{Attributes, Value};

/// The attribute that counts how often an event may still enter a broker.
const TTL: &str = "knativebrokerttl";

/// Counts the entry of an event: the first one sets the attribute to `most`, each further one takes 1 away (C7.1).
///
/// `false` when nothing is left: the event must not enter.
pub(crate) fn enter(attributes: &mut Attributes, most: u8) -> bool {
    let left = match ttl(attributes) {
        None => i32::from(most),
        Some(left) => left.saturating_sub(1),
    };
    left > 0 && attributes.set(TTL, Value::from(left)).is_ok()
}

/// The event as a subscriber sees it: without the count (C7.2).
pub(crate) fn leave(attributes: &mut Attributes) {
    attributes.remove(TTL);
}

/// Gives a reply the count of the event that it answers, so that each pass costs one (C7.2, C5.11).
pub(crate) fn carry_on(cause: &Attributes, reply: &mut Attributes) {
    reply.remove(TTL);
    if let Some(left) = ttl(cause)
        && let Err(error) = reply.set(TTL, Value::from(left))
    {
        // An event with as many attributes as there may be cannot be counted, and so cannot enter.
        tracing::warn!(%error, "a reply cannot carry {TTL}");
    }
}

fn ttl(attributes: &Attributes) -> Option<i32> {
    attributes.get(TTL)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_event::SpecVersion;

    fn event(ttl: Option<&str>) -> Attributes {
        let mut attributes = Attributes::new(SpecVersion::V10, "1", "/s", "t").unwrap();
        if let Some(ttl) = ttl {
            attributes.set(TTL, Value::from(ttl)).unwrap();
        }
        attributes
    }

    #[test]
    fn c7_1_the_first_entry_sets_it_and_each_further_one_takes_one_away() {
        for (before, after) in [
            (None, "255"),
            (Some("x"), "255"),
            (Some("255"), "254"),
            (Some("2"), "1"),
        ] {
            let mut attributes = event(before);
            assert!(enter(&mut attributes, 255), "{before:?}");
            assert_eq!(attributes.get(TTL), Some(after), "{before:?}");
        }
        for spent in ["1", "0", "-1", "-2147483648"] {
            assert!(!enter(&mut event(Some(spent)), 255), "{spent}");
        }
    }

    #[test]
    fn c7_2_the_subscriber_does_not_see_it_and_the_reply_has_the_same() {
        let cause = event(Some("7"));
        let mut seen = cause.clone();
        leave(&mut seen);
        assert_eq!(seen.get(TTL), None);
        let mut reply = event(Some("99"));
        carry_on(&cause, &mut reply);
        assert_eq!(reply.get(TTL), Some("7"), "a subscriber cannot raise it");
    }
}
