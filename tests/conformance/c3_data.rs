//! C3.6, C3.7: the data of structured and binary events, byte for byte.

use towpath_harness::{Bed, Message, TestResult};

/// A structured event whose other fields are given as JSON text; gives status, content type and body at the subscriber.
async fn through(bed: &Bed, fields: &str) -> anyhow::Result<(u16, Option<String>, Vec<u8>)> {
    let before = bed.subscriber.count();
    let message = Message::json(format!(r#"{{"id":"1","source":"/s","type":"t",{fields}}}"#));
    let status = bed.post(&message).await?.code();
    let mut requests = bed.subscriber.requests();
    match requests.pop() {
        Some(last) if requests.len() == before => {
            let kind = last
                .headers
                .get("content-type")
                .map(|_| last.header("content-type"));
            Ok((status, kind, last.body.to_vec()))
        }
        _ => Ok((status, None, Vec::new())),
    }
}

#[tokio::test]
async fn c3_6_json_data_is_kept_byte_for_byte() -> TestResult {
    let bed = Bed::start().await?;
    let values = [
        r#"{ "z" : 1,  "a":[ 1.0, 1e400, 12345678901234567890 ] }"#,
        r#"{"twice":1,"twice":2}"#,
        r#""a \u00e9 \/ string""#,
        "0.10",
        "false",
        "[\n\t1\n]",
    ];
    for value in values {
        for kind in [
            "",
            r#""datacontenttype":"application/json","#,
            r#""datacontenttype":"application/vnd.x+json","#,
        ] {
            for spec in ["0.3", "1.0"] {
                let (status, _, body) = through(
                    &bed,
                    &format!(r#"{kind}"specversion":"{spec}","data":{value}"#),
                )
                .await?;
                assert_eq!(status, 202, "{kind}{value}");
                assert_eq!(String::from_utf8_lossy(&body), value, "{kind}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn c3_6_text_data_is_unescaped() -> TestResult {
    let bed = Bed::start().await?;
    let fields =
        r#""specversion":"1.0","datacontenttype":"text/xml","data":"<a b=\"c\">\u00e9\n</a>""#;
    let got = through(&bed, fields).await?;
    assert_eq!(
        got,
        (
            202,
            Some("text/xml".to_owned()),
            "<a b=\"c\">\u{e9}\n</a>".as_bytes().to_vec()
        )
    );
    // Data of a type that is not JSON must be a string.
    let (status, ..) = through(
        &bed,
        r#""specversion":"1.0","datacontenttype":"text/xml","data":{"a":1}"#,
    )
    .await?;
    assert_eq!(status, 400);
    Ok(())
}

#[tokio::test]
async fn c3_6_base64_data_is_decoded() -> TestResult {
    let bed = Bed::start().await?;
    let cases = [
        r#""specversion":"1.0","datacontenttype":"image/png","data_base64":"AAH/gA==""#,
        r#""specversion":"0.3","datacontenttype":"image/png","datacontentencoding":"base64","data":"AAH/gA==""#,
    ];
    for fields in cases {
        let got = through(&bed, fields).await?;
        assert_eq!(
            got,
            (
                202,
                Some("image/png".to_owned()),
                b"\x00\x01\xff\x80".to_vec()
            ),
            "{fields}"
        );
    }
    let last = bed
        .subscriber
        .requests()
        .pop()
        .ok_or_else(|| anyhow::anyhow!("nothing came"))?;
    assert!(
        !last.headers.contains_key("ce-datacontentencoding"),
        "it is decoded, so the attribute must go"
    );
    for fields in [
        r#""specversion":"1.0","data_base64":"not base64!""#,
        r#""specversion":"1.0","data_base64":7"#,
    ] {
        assert_eq!(through(&bed, fields).await?.0, 400, "{fields}");
    }
    Ok(())
}

#[tokio::test]
async fn c3_6_both_kinds_of_data_are_400() -> TestResult {
    let bed = Bed::start().await?;
    let (status, ..) = through(
        &bed,
        r#""specversion":"1.0","data":"a","data_base64":"AA==""#,
    )
    .await?;
    assert_eq!(status, 400);
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c3_6_what_is_no_json_object_is_400() -> TestResult {
    let bed = Bed::start().await?;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested =
        format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","exval":{deep}}}"#);
    for body in [
        "",
        "{",
        "[]",
        "null",
        "\"text\"",
        "{\"specversion\":\"1.0\"",
        &deep,
        &nested,
    ] {
        let response = bed.post(&Message::json(body.to_owned())).await?;
        assert_eq!(response.code(), 400, "{}", body.get(..40).unwrap_or(body));
    }
    let bad_text = Message::json(
        &b"{\"specversion\":\"1.0\",\"id\":\"\xff\",\"source\":\"/s\",\"type\":\"t\"}"[..],
    );
    assert_eq!(bed.post(&bad_text).await?.code(), 400);
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c3_7_no_data_has_no_content_type_unless_it_was_set() -> TestResult {
    let bed = Bed::start().await?;
    let got = through(&bed, r#""specversion":"1.0""#).await?;
    assert_eq!(got, (202, None, Vec::new()));
    let got = through(
        &bed,
        r#""specversion":"1.0","datacontenttype":"text/plain""#,
    )
    .await?;
    assert_eq!(got, (202, Some("text/plain".to_owned()), Vec::new()));
    Ok(())
}

#[tokio::test]
async fn c3_7_json_data_without_a_type_becomes_application_json() -> TestResult {
    let bed = Bed::start().await?;
    let got = through(&bed, r#""specversion":"1.0","data":{"a":1}"#).await?;
    assert_eq!(
        got,
        (
            202,
            Some("application/json".to_owned()),
            br#"{"a":1}"#.to_vec()
        )
    );
    Ok(())
}
