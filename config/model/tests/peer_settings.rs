//! Rules of `internal` and `peers`, with the exact messages.

mod support;

use rstest::rstest;
use support::lines;
use towpath_config::Settings;

const HEAD: &str = "node: n1\npayloads: {keyFile: keys}\n";

fn problems(text: &str) -> Vec<String> {
    lines(Settings::parse(text).err())
}

#[rstest]
#[case("")]
#[case("peers: []")]
#[case("peers: ''")]
#[case("internal: {listen: none}")]
#[case("internal: {listen: '127.0.0.1:0'}")]
#[case("peers: 'a=http://10.0.0.1:9091, b=https://[::1]:9091'")]
#[case("peers: [{node: n1, url: 'http://10.0.0.1'}, {node: a_B.c, url: 'https://x_y.svc:1/'}]")]
fn right(#[case] text: &str) {
    assert_eq!(problems(&format!("{HEAD}{text}")), [""; 0]);
}

#[test]
fn one_list_serves_all_gateways() {
    let text = format!("{HEAD}peers: 'n1=http://10.0.0.1:1,n2=http://10.0.0.2:1'");
    let settings = Settings::parse(&text).map_err(|problems| problems.to_string());
    let others = settings.map(|settings| {
        let nodes = settings.other_gateways().map(|peer| peer.node.clone());
        nodes.collect::<Vec<_>>()
    });
    assert_eq!(others, Ok(vec!["n2".to_owned()]));
}

#[rstest]
#[case(
    "peers: 'a=http://x:1'",
    &[
        "1: peers: need `node`, the name by which this gateway stands in the peers of the others; set it as well",
        "1: peers: need payloads.keyFile: by those keys gateways know each other; write the same keys in a file for each gateway",
    ]
)]
#[case(
    "internal: {listen: '127.0.0.1:8080'}",
    &[
        "1: internal.listen: 127.0.0.1:8080 is also `listen`; give one of them another port, as 9091",
        "1: internal.listen: needs payloads.keyFile: by those keys gateways know each other, and a random one is known to no other; write the same keys in a file for each gateway, or `none` here",
    ]
)]
#[case(
    "internal: {maxConnections: 0}",
    &["1: internal.maxConnections: 0 would refuse every gateway; write at least 1, or `none` as internal.listen"]
)]
#[case(
    "peers: {a: 'http://x'}",
    &["1: peers: needs a single value or a list, not a mapping"]
)]
#[case(
    "peers: x",
    &["1: peers: needs a node and a URL for each gateway; write it as `first=http://10.0.0.1:9091,second=http://10.0.0.2:9091`"]
)]
#[case(
    "peers:\n- a\n- {node: a}\n- {node: a, url: b}\n- {node: a, url: 'http://u:secret@b'}\n- {node: a, url: 'http://b', nod: c}\n- {node: a, node: b, url: 'http://b'}",
    &[
        "2: peers[0]: needs `node` and `url`, as `{node: first, url: \"http://10.0.0.1:9091\"}`",
        "3: peers[1]: needs `node` and `url`, as `{node: first, url: \"http://10.0.0.1:9091\"}`",
        "4: peers[2].url: `b` is not a URL: relative URL without a base",
        "5: peers[3].url: `...@b` holds a user or password; leave them out, since settings are shown",
        "6: peers[4].nod: unknown key; an entry has `node` and `url`",
        "7: peers[5].node: is given twice; keep one",
    ]
)]
fn wrong(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(problems(text), expected);
}

#[test]
fn every_wrong_entry_at_once() {
    let text = format!(
        "{HEAD}peers:
- {{node: a, url: 'http://x:9091'}}
- {{node: a, url: 'http://y:9091'}}
- {{node: b, url: 'http://x:9091/'}}
- {{node: 'c d', url: 'nats://z'}}
- {{node: e, url: 'http://z/path'}}
- {{node: f, url: 'http://z?key=secret'}}
- {{node: g, url: 'http://a,b'}}
"
    );
    assert_eq!(
        problems(&text),
        [
            "5: peers[1].node: `a` is also that of peers[0]; a node has one gateway, keep one",
            "6: peers[2].url: `http://x:9091/` is also that of peers[0]; keep one",
            "7: peers[3].node: `c d` is not a name of 1 to 253 letters, digits, `-`, `_` and `.`",
            "7: peers[3].url: `nats://z` is not the internal port of a gateway; write it as `http://host:9091`, without a path",
            "8: peers[4].url: `http://z/path` is not the internal port of a gateway; write it as `http://host:9091`, without a path",
            "9: peers[5].url: `http://z/` is not the internal port of a gateway; write it as `http://host:9091`, without a path",
            "10: peers[6].url: `http://a,b/` is not the internal port of a gateway; write it as `http://host:9091`, without a path",
        ]
    );
}

#[test]
fn a_thousand_is_the_limit() {
    let list = |count: usize| {
        let peers: Vec<_> = (0..count).map(|i| format!("n{i}=http://h{i}:1")).collect();
        format!("{HEAD}peers: '{}'", peers.join(","))
    };
    assert_eq!(problems(&list(1000)), [""; 0]);
    assert_eq!(
        problems(&list(1001)),
        ["3: peers: are 1001, and 1000 is the limit; leave some out"]
    );
}
