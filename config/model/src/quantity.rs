//! Sizes as users write them: an integer of bytes, or a Kubernetes quantity such as `64Ki` or `1G`.

/// Bytes of a `Ki`.
pub(crate) const KIB: u64 = 1 << 10;
/// Bytes of a `Mi`.
pub(crate) const MIB: u64 = 1 << 20;
/// Bytes of a `Gi`.
pub(crate) const GIB: u64 = 1 << 30;

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a number with a known unit.
    #[error(
        "`{0}` is not a size; write whole bytes, or a number with one of k, M, G, T, Ki, Mi, Gi, Ti, as `64Ki`"
    )]
    Syntax(String),
    /// More than 64 bits of bytes, or a fraction of a byte.
    #[error("`{0}` is not a whole number of bytes below 2^64")]
    Range(String),
}

/// Bytes of a size such as `65536`, `64Ki`, `1.5Mi` or `1G`.
///
/// # Errors
/// [`Error::Syntax`] if the text is not a number with a unit, [`Error::Range`] if the result is not a whole number
/// of bytes or does not fit in 64 bits.
pub fn parse(text: &str) -> Result<u64, Error> {
    let syntax = || Error::Syntax(text.to_owned());
    let range = || Error::Range(text.to_owned());
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u128 = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(syntax()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') {
        return Err(syntax());
    }
    // Digits that do not fit are out of range whatever the unit.
    let whole: u128 = whole.parse().map_err(|_| range())?;
    let mut bytes = whole.checked_mul(factor).ok_or_else(range)?;
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        let digits = u32::try_from(fraction.len()).map_err(|_| range())?;
        let scale = 10_u128.checked_pow(digits).ok_or_else(range)?;
        let part: u128 = fraction.parse().map_err(|_| range())?;
        let part = part.checked_mul(factor).ok_or_else(range)?;
        if part % scale != 0 {
            return Err(range());
        }
        bytes = bytes.checked_add(part / scale).ok_or_else(range)?;
    }
    u64::try_from(bytes).map_err(|_| range())
}

/// The size in the largest binary unit that divides it: `64Ki`.
#[must_use]
pub fn show(bytes: u64) -> String {
    for (unit, shift) in [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("0", 0),
            ("65536", 65_536),
            ("64Ki", 65_536),
            ("64Mi", 67_108_864),
            ("1.5Mi", 1_572_864),
            ("1G", 1_000_000_000),
            ("0.5k", 500),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in [
            "", "Ki", "64kb", "64KiB", "-1", "1.2.3", ".5k", "1 Ki", "1e3",
        ] {
            assert_eq!(parse(text), Err(Error::Syntax(text.to_owned())), "{text}");
        }
        for text in [
            "18446744073709551616",
            "0.5",
            "99999999999999999999999999999999999999999999Ti",
            "16777216Ti",
        ] {
            assert_eq!(parse(text), Err(Error::Range(text.to_owned())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn shown_sizes_are_read_back(bytes: u64) {
            prop_assert_eq!(parse(&show(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
