//! Reads the Prometheus text of the admin port.

use std::collections::BTreeMap;

/// All samples of one scrape.
#[derive(Debug, Clone, Default)]
pub struct Metrics(pub Vec<Sample>);

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The name, with `_bucket`, `_sum` or `_count` for histograms.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Metrics {
    /// Reads the text; lines that are no samples are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Metrics(
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(sample)
                .collect(),
        )
    }

    /// The samples of that name that carry all these labels.
    pub fn all<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| {
                    sample.labels.get(*label).is_some_and(|have| have == value)
                })
        })
    }

    /// The sum of the samples of that name that carry all these labels; 0 when there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.all(name, labels).map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.trim().rsplit_once(' ')?;
    let (name, rest) = series.split_once('{').unwrap_or((series, ""));
    let mut labels = BTreeMap::new();
    let mut rest = rest.trim_end_matches('}');
    while let Some((label, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = after.char_indices();
        let mut end = after.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                '"' => {
                    end = at + 1;
                    break;
                }
                other => value.push(other),
            }
        }
        labels.insert(label.trim_matches([',', ' ']).to_owned(), value);
        rest = after.get(end..).unwrap_or_default();
    }
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_labels_and_values() {
        let metrics = Metrics::parse(
            "# HELP a b\na 1\nb_count{x=\"1\",y=\"a\\\"b,}\"} 2.5\nb_count{x=\"2\"} 4\n",
        );
        assert!((metrics.sum("b_count", &[]) - 6.5).abs() < 1e-9);
        assert!((metrics.sum("b_count", &[("y", "a\"b,}")]) - 2.5).abs() < 1e-9);
        assert!((metrics.sum("a", &[]) - 1.0).abs() < 1e-9);
        assert!(metrics.sum("c", &[]).abs() < 1e-9);
    }
}
