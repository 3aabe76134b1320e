//! ISO-8601 periods, as Knative's `backoffDelay`, `timeout` and `retryAfterMax` are written (C8.4).

use std::time::Duration;

/// Seconds of an average year of the Gregorian calendar: 365.2425 days.
const YEAR: u64 = 31_556_952;
/// Seconds of an average month: a twelfth of a year.
const MONTH: u64 = 2_629_746;
const WEEK: u64 = 7 * DAY;
const DAY: u64 = 24 * HOUR;
const HOUR: u64 = 60 * MINUTE;
const MINUTE: u64 = 60;

/// Why a text is not a period that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not of the form `PnYnMnWnDTnHnMnS`.
    #[error(
        "`{text}` is not an ISO-8601 period: {reason}; write it as `PT0.2S`, `PT30S`, `PT1M30S` or `P1D`"
    )]
    Syntax {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Under zero.
    #[error("`{0}` is negative; a wait or time-out is at least zero")]
    Negative(String),
}

/// The length of a period such as `PT0.2S`, `PT1M30S`, `P1D` or `P1W` (C8.4).
///
/// As lenient as the library that Knative uses: units in any order, each once; a fraction, with `.` or `,`, on
/// one of them; a sign in front; years and months by their average lengths. Lower case is refused.
/// Two differences: a fraction counts in full, to the nanosecond (the library keeps one digit), and a number too
/// large for a [`Duration`] is taken for the longest one.
///
/// # Errors
/// [`Error::Syntax`] if the text is not a period, [`Error::Negative`] if it is under zero (`-PT0S` is zero).
pub fn parse(text: &str) -> Result<Duration, Error> {
    let syntax = |reason| Error::Syntax {
        text: text.to_owned(),
        reason,
    };
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return Err(syntax("it is empty"));
    }
    if rest == "P0" {
        // The library knows this one form without a unit.
        return Ok(Duration::ZERO);
    }
    let mut rest = rest
        .strip_prefix('P')
        .ok_or_else(|| syntax("it does not begin with `P`"))?;
    let mut total = Duration::ZERO;
    let mut in_time = false;
    let mut fraction_seen = false;
    let mut seen = String::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            if in_time {
                return Err(syntax("`T` may occur once"));
            }
            in_time = true;
            rest = after;
            continue;
        }
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
            .ok_or_else(|| syntax("the last number has no unit"))?;
        let (number, after) = rest.split_at(end);
        let mut chars = after.chars();
        let unit = chars
            .next()
            .ok_or_else(|| syntax("the last number has no unit"))?;
        rest = chars.as_str();
        let seconds = seconds_of(unit, in_time).map_err(syntax)?;
        // `M` stands for months before the `T` and for minutes after it.
        let mark = if unit == 'M' && in_time { 'm' } else { unit };
        if seen.contains(mark) {
            return Err(syntax("a unit may occur once"));
        }
        seen.push(mark);
        let (whole, fraction) = split_number(number).map_err(syntax)?;
        let has_fraction = fraction.bytes().any(|digit| digit != b'0');
        if fraction_seen && has_fraction {
            return Err(syntax("only one unit may have a fraction"));
        }
        fraction_seen |= has_fraction;
        total = total.saturating_add(length(whole, fraction, seconds));
    }
    if seen.is_empty() {
        return Err(syntax("it has no number with a unit"));
    }
    if negative && !total.is_zero() {
        return Err(Error::Negative(text.to_owned()));
    }
    Ok(total)
}

fn seconds_of(unit: char, in_time: bool) -> Result<u64, &'static str> {
    match (unit, in_time) {
        ('Y', false) => Ok(YEAR),
        ('M', false) => Ok(MONTH),
        ('W', false) => Ok(WEEK),
        ('D', false) => Ok(DAY),
        ('H', true) => Ok(HOUR),
        ('M', true) => Ok(MINUTE),
        ('S', true) => Ok(1),
        ('H' | 'S', false) => Err("hours and seconds come after a `T`"),
        ('Y' | 'W' | 'D', true) => Err("years, weeks and days come before the `T`"),
        _ => Err("a number is followed by one of Y, M, W, D, H, M, S, in upper case"),
    }
}

fn split_number(number: &str) -> Result<(&str, &str), &'static str> {
    let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains(['.', ',']) {
        return Err("a unit needs a number before it");
    }
    Ok((whole, fraction))
}

fn length(whole: &str, fraction: &str, seconds: u64) -> Duration {
    // Only digits are left, so what does not fit is too large.
    let count = whole.parse::<u64>().unwrap_or(u64::MAX);
    let whole = Duration::from_secs(count.saturating_mul(seconds));
    // Nine digits of a fraction times the longest unit fit in 64 bits.
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0_u64, |sum, digit| {
        sum * 10 + u64::from(digit.saturating_sub(b'0'))
    });
    whole.saturating_add(Duration::from_nanos(nanos.saturating_mul(seconds)))
}

/// A duration as people write it, to the nanosecond: `1h30m`, `250ms`, `0s`.
pub(crate) fn show(duration: Duration) -> String {
    let (mut rest, mut shown) = (duration.as_nanos(), String::new());
    let units = [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    for (unit, nanos) in units {
        if rest >= nanos {
            shown.push_str(&format!("{}{unit}", rest / nanos));
            rest %= nanos;
        }
    }
    if shown.is_empty() {
        "0s".to_owned()
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn c8_4_periods() {
        let cases = [
            ("PT0.2S", Duration::from_millis(200)),
            ("PT0,25S", Duration::from_millis(250)),
            ("PT1M30S", Duration::from_secs(90)),
            ("PT1S", Duration::from_secs(1)),
            ("PT0S", Duration::ZERO),
            ("-PT0S", Duration::ZERO),
            ("P0", Duration::ZERO),
            ("+PT5S", Duration::from_secs(5)),
            ("P1D", Duration::from_secs(86_400)),
            ("P1W", Duration::from_secs(604_800)),
            ("P1Y", Duration::from_secs(31_556_952)),
            ("P1M", Duration::from_secs(2_629_746)),
            ("P1MT1M", Duration::from_secs(2_629_806)),
            ("PT1.5H", Duration::from_secs(5_400)),
            ("PT0.5M", Duration::from_secs(30)),
            ("P1DT12H", Duration::from_secs(129_600)),
            ("PT0.000000001S", Duration::from_nanos(1)),
            ("PT1.S", Duration::from_secs(1)),
            ("P99999999999999999999Y", Duration::from_secs(u64::MAX)),
            ("PT18446744073709551615S", Duration::from_secs(u64::MAX)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn c8_4_refused() {
        let cases = [
            ("", "it is empty"),
            ("-", "it is empty"),
            ("1S", "it does not begin with `P`"),
            ("pt1s", "it does not begin with `P`"),
            (
                "PT1s",
                "a number is followed by one of Y, M, W, D, H, M, S, in upper case",
            ),
            ("P", "it has no number with a unit"),
            ("PT", "it has no number with a unit"),
            ("PT1", "the last number has no unit"),
            ("PTS", "a unit needs a number before it"),
            ("PT.5S", "a unit needs a number before it"),
            ("PT1.2.3S", "a unit needs a number before it"),
            ("P1S", "hours and seconds come after a `T`"),
            ("PT1Y", "years, weeks and days come before the `T`"),
            ("PT1S2S", "a unit may occur once"),
            ("PT1HT1S", "`T` may occur once"),
            ("P0.1YT0.1S", "only one unit may have a fraction"),
            ("5s", "it does not begin with `P`"),
            (
                "PT\u{e9}S",
                "a number is followed by one of Y, M, W, D, H, M, S, in upper case",
            ),
        ];
        for (text, reason) in cases {
            assert_eq!(
                parse(text),
                Err(Error::Syntax {
                    text: text.to_owned(),
                    reason
                }),
                "{text}"
            );
        }
        assert_eq!(parse("-PT1S"), Err(Error::Negative("-PT1S".to_owned())));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn no_period_panics(text in "[-+]?P[0-9.,]{0,25}[YMWDTHS0-9.,]{0,30}") {
            let _ = parse(&text);
        }

        #[test]
        fn seconds_are_exact(seconds in 0_u64..u64::MAX, nanos in 0_u32..1_000_000_000) {
            prop_assert_eq!(parse(&format!("PT{seconds}.{nanos:09}S")), Ok(Duration::new(seconds, nanos)));
        }
    }
}
