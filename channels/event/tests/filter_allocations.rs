//! Counts what filters allocate for an event: nothing, for those that users write.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/counting.rs"]
mod counting;

use counting::allocations;
use rstest::rstest;
use towpath_event::cesql::Environment;
use towpath_event::{Attributes, Filter, FilterIndex, SpecVersion};

#[rstest]
#[case(Filter::exact([("type", "com.example.order"), ("datamediatype", "text/plain")]))]
#[case(Filter::prefix([("time", "2018-")]))]
#[case(Filter::attributes([("type", "com.example.order"), ("missing", "")]))]
#[case(Filter::cesql("type LIKE 'com.%.order' AND (EXISTS missing OR id IN ('a', 'b', 1))"))]
#[case(Filter::cesql("missing = 'x'"))]
#[case(Filter::cesql("LENGTH(LEFT(TRIM(LOWER(type)), 3)) + INT(number) > 5"))]
fn a_filter_allocates_nothing(
    #[case] filter: Result<Filter, towpath_event::filter::InvalidFilter>,
) {
    let filter = filter.unwrap();
    let index = FilterIndex::new([(0, &filter)]);
    let attributes = Attributes::new(SpecVersion::V10, "1", "/s", "com.example.order")
        .and_then(|attributes| attributes.with("time", "2018-04-05T17:31:00Z"))
        .and_then(|attributes| attributes.with("datacontenttype", "text/plain; q=1"))
        .and_then(|attributes| attributes.with("number", 7))
        .unwrap();
    let environment = Environment::default();
    let (count, _) = allocations(|| {
        index.candidates(&attributes).count()
            + usize::from(filter.matches(&attributes, &environment))
    });
    assert_eq!(count, 0);
}
