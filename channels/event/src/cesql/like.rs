//! The patterns of `LIKE`: `%` is any run of characters, `_` one character, `\%` and `\_` those two themselves (F1.4).

use smallvec::{SmallVec, smallvec};

/// A pattern, split at each `%`. Matching takes one pass over the text, and for a stretch of over 64 characters with
/// `_` among them one pass for each 64: a hostile text costs no more than another one.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// What the text begins with; the whole of it if there is no `%`.
    first: Segment,
    /// What stands between two `%`, anywhere in the text but in this order.
    middle: Vec<(Segment, Search)>,
    /// What follows the last `%`: what the text ends with.
    last: Option<Segment>,
}

/// What stands between two `%`.
#[derive(Clone, Debug, Default)]
struct Segment {
    pieces: Vec<Piece>,
    /// The length of what it matches, in characters.
    chars: usize,
}

#[derive(Clone, Debug)]
enum Piece {
    One,
    Text(String),
}

impl Pattern {
    pub(super) fn new(pattern: &str) -> Self {
        let mut done = Vec::new();
        let mut segment = Segment::default();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => segment.push(chars.next_if(|next| matches!(next, '%' | '_')).unwrap_or(c)),
                '%' => done.push(std::mem::take(&mut segment)),
                '_' => segment.push_one(),
                c => segment.push(c),
            }
        }
        // Before the first `%` there is the first segment; without any `%` it is the only one.
        let (first, last) = match done.is_empty() {
            true => (segment, None),
            false => (done.remove(0), Some(segment)),
        };
        let middle = done.into_iter().map(|segment| {
            let search = Search::new(&segment);
            (segment, search)
        });
        Self {
            first,
            middle: middle.collect(),
            last,
        }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some(mut text) = self.first.strip(text) else {
            return false;
        };
        let Some(last) = &self.last else {
            return text.is_empty();
        };
        // The earliest place for each leaves the most for those that follow.
        for (segment, search) in &self.middle {
            let after = match search {
                Search::Direct => segment.find(text),
                Search::Masks(masks) => masks.find(text),
            };
            match after {
                Some(after) => text = after,
                None => return false,
            }
        }
        last.ends(text)
    }
}

impl Segment {
    fn push(&mut self, c: char) {
        self.chars += 1;
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.pieces.push(Piece::Text(c.into())),
        }
    }

    fn push_one(&mut self) {
        self.chars += 1;
        self.pieces.push(Piece::One);
    }

    /// What follows this at the start of `text`.
    fn strip<'a>(&self, mut text: &'a str) -> Option<&'a str> {
        for piece in &self.pieces {
            text = match piece {
                Piece::Text(piece) => text.strip_prefix(piece.as_str())?,
                Piece::One => {
                    let mut chars = text.chars();
                    chars.next()?;
                    chars.as_str()
                }
            };
        }
        Some(text)
    }

    /// What follows the first place of this in `text`; only for a segment that is one piece of text, or has none.
    fn find<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self.pieces.first() {
            Some(Piece::Text(piece)) => text.split_once(piece.as_str()).map(|(_, after)| after),
            Some(Piece::One) | None => self.strip(text),
        }
    }

    fn ends(&self, text: &str) -> bool {
        let start = match self.chars {
            0 => return true,
            chars => text.char_indices().rev().nth(chars - 1),
        };
        start.is_some_and(|(at, _)| text.get(at..).and_then(|end| self.strip(end)) == Some(""))
    }
}

/// How the first place of a segment is found.
#[derive(Clone, Debug)]
enum Search {
    /// It is one piece of text, which the standard library finds in linear time, or only `_`, which begin at once.
    Direct,
    Masks(Masks),
}

impl Search {
    fn new(segment: &Segment) -> Self {
        let is_one = |piece: &Piece| matches!(piece, Piece::One);
        if segment.pieces.len() <= 1 || segment.pieces.iter().all(is_one) {
            Self::Direct
        } else {
            Self::Masks(Masks::new(segment))
        }
    }
}

/// A bit for each character of the segment.
type Bits = SmallVec<[u64; 1]>;

/// Finds text with `_` in it: all places where it may have begun advance together, a bit for each (shift-and).
#[derive(Clone, Debug)]
struct Masks {
    /// Where each character may stand, in order of the characters.
    characters: Vec<(char, Bits)>,
    /// Where all others may stand: at `_`.
    others: Bits,
    /// The bit of the last character, in the last word.
    end: u64,
}

impl Masks {
    fn new(segment: &Segment) -> Self {
        let ones = segment.pieces.iter().flat_map(|piece| match piece {
            Piece::One => vec![None],
            Piece::Text(text) => text.chars().map(Some).collect(),
        });
        let places: Vec<Option<char>> = ones.collect();
        let mask = |wanted: Option<char>| {
            let words = places.chunks(64).map(|places| {
                let fits = |place: &Option<char>| place.is_none() || *place == wanted;
                let bits = places.iter().enumerate();
                bits.fold(0, |bits, (at, place)| bits | u64::from(fits(place)) << at)
            });
            words.collect::<Bits>()
        };
        let mut characters: Vec<char> = places.iter().flatten().copied().collect();
        characters.sort_unstable();
        characters.dedup();
        Self {
            characters: characters.into_iter().map(|c| (c, mask(Some(c)))).collect(),
            others: mask(None),
            end: 1 << (segment.chars.saturating_sub(1) % 64),
        }
    }

    /// What follows the first place in `text`.
    fn find<'a>(&self, text: &'a str) -> Option<&'a str> {
        let mut begun: Bits = smallvec![0; self.others.len()];
        for (at, c) in text.char_indices() {
            let known = self
                .characters
                .binary_search_by_key(&c, |(known, _)| *known);
            let mask = known.ok().and_then(|at| self.characters.get(at));
            let mask = mask.map_or(&self.others, |(_, mask)| mask);
            let mut carry = 1;
            for (word, mask) in begun.iter_mut().zip(mask) {
                let next = (*word << 1 | carry) & mask;
                carry = *word >> 63;
                *word = next;
            }
            if begun.last().is_some_and(|word| word & self.end != 0) {
                return text.get(at + c.len_utf8()..);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("", "", true)]
    #[case("", "a", false)]
    #[case("%", "", true)]
    #[case("%%", "a\nb", true)]
    #[case("a%a", "a", false)]
    #[case("_", "\u{1f30e}", true)]
    #[case("__", "\u{e9}", false)]
    #[case("%_\u{e9}", "a\u{e9}", true)]
    #[case("%ab%ab", "ab", false)]
    #[case("%ab%ab", "abab", true)]
    #[case("a%_c", "abbc", true)]
    #[case("%a_%", "ba", false)]
    #[case(r"\%", "%", true)]
    #[case(r"\%", "a", false)]
    #[case(r"\\%", r"\%", true)]
    #[case(r"\a", r"\a", true)]
    #[case(r"a\", r"a\", true)]
    fn f1_4_patterns(#[case] pattern: &str, #[case] text: &str, #[case] matches: bool) {
        assert_eq!(Pattern::new(pattern).matches(text), matches);
    }

    /// The definition, slow and short.
    fn defined(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|at| defined(rest, &text[at..])),
            ['\\', c @ ('%' | '_'), rest @ ..] => {
                text.first() == Some(c) && defined(rest, &text[1..])
            }
            ['_', rest @ ..] => !text.is_empty() && defined(rest, &text[1..]),
            [c, rest @ ..] => text.first() == Some(c) && defined(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn f1_4_is_what_the_definition_says(pattern in r"[ab%_\\é]{0,8}", text in r"[ab%_\\é]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = defined(&chars(&pattern), &chars(&text));
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), expected);
        }

        /// Long stretches with `_`, which take several words of bits, against a naive search for them.
        #[test]
        fn f1_4_long_stretches_are_found(
            stretch in "[ab_]{2,150}",
            before in "[ab]{0,70}",
            wrong in proptest::option::of(0..150usize),
        ) {
            let mut text: Vec<char> = format!("{before}{}", stretch.replace('_', "\u{e9}")).chars().collect();
            if let Some(place) = wrong.and_then(|at| text.get_mut(before.len() + at)) {
                *place = 'c';
            }
            let fits = |place: &[char]| {
                let pairs = place.iter().zip(stretch.chars());
                place.len() == stretch.len() && pairs.into_iter().all(|(c, wanted)| wanted == '_' || wanted == *c)
            };
            let expected = text.windows(stretch.len()).any(fits);
            let text: String = text.iter().collect();
            prop_assert_eq!(Pattern::new(&format!("%{stretch}%")).matches(&text), expected);
        }
    }
}
