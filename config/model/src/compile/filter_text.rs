//! Filters in one short line, for the report.

use std::collections::BTreeMap;

use crate::objects::{SubscriptionsApiFilter, TriggerSpec};

/// Characters of a filter that a report shows.
const SHOWN: usize = 120;

/// The filter that counts (B5.1), as `exact type=a and cesql source = 'b'`; nothing if every event passes.
pub(super) fn of_trigger(spec: &TriggerSpec) -> Option<String> {
    let mut text = String::new();
    if !spec.filters.is_empty() {
        list(&spec.filters, " and ", &mut text);
    } else if let Some(filter) = spec.filter.as_ref().filter(|f| !f.attributes.is_empty()) {
        pairs("attributes", &filter.attributes, &mut text);
    }
    if text.is_empty() {
        return None;
    }
    // An expression may have several lines.
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => Some(format!("{}...", line.get(..end).unwrap_or_default())),
        None => Some(line),
    }
}

fn list(filters: &[SubscriptionsApiFilter], between: &str, text: &mut String) {
    for (index, filter) in filters.iter().enumerate() {
        if text.len() > 4 * SHOWN {
            return;
        }
        if index > 0 {
            text.push_str(between);
        }
        one(filter, text);
    }
}

fn one(filter: &SubscriptionsApiFilter, text: &mut String) {
    let maps = [
        ("exact", &filter.exact),
        ("prefix", &filter.prefix),
        ("suffix", &filter.suffix),
    ];
    let lists = [("all", &filter.all), ("any", &filter.any)];
    if let Some((dialect, Some(map))) = maps.into_iter().find(|(_, map)| map.is_some()) {
        pairs(dialect, map, text);
    } else if let Some((dialect, Some(filters))) = lists.into_iter().find(|(_, l)| l.is_some()) {
        text.push_str(dialect);
        text.push('(');
        list(filters, ", ", text);
        text.push(')');
    } else if let Some(filter) = &filter.not {
        text.push_str("not(");
        one(filter, text);
        text.push(')');
    } else if let Some(expression) = &filter.cesql {
        text.push_str("cesql ");
        text.push_str(expression);
    } else {
        text.push_str("everything");
    }
}

fn pairs(dialect: &str, pairs: &BTreeMap<String, String>, text: &mut String) {
    text.push_str(dialect);
    for (name, value) in pairs {
        let value = if value.is_empty() { "(any)" } else { value };
        text.push_str(&format!(" {name}={value}"));
        if text.len() > 4 * SHOWN {
            return;
        }
    }
}
