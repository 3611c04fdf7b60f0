//! What lines are made of documents, whatever pieces these come in.

use expect_test::{Expect, expect};

use super::*;

mod samples;

/// The lines of a document that comes in pieces of so many bytes.
fn lines_in_pieces(of: Document, document: &[u8], piece: usize, read: usize) -> String {
    let mut pieces = document.chunks(piece);
    let mut documents = Documents::new(of);
    let (mut lines, mut out) = (Vec::new(), vec![0; read]);
    loop {
        let next = |out: &mut [u8]| {
            let piece = pieces.next().unwrap_or_default();
            out[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        };
        match documents.read(&mut out, next).expect("nothing fails") {
            0 => return String::from_utf8(lines).expect("the lines are text"),
            count => lines.extend_from_slice(&out[..count]),
        }
    }
}

fn lines(of: Document, document: &str) -> String {
    let whole = lines_in_pieces(of, document.as_bytes(), CHUNK_BYTES, CHUNK_BYTES);
    for (piece, read) in [(1, 1), (2, 100), (7, 3), (61, 1000)] {
        let pieces = lines_in_pieces(of, document.as_bytes(), piece, read);
        assert_eq!(pieces, whole, "in pieces of {piece} bytes");
    }
    let places = whole.lines().map(|line| read_place(line).expect("a place").0);
    assert!(places.is_sorted(), "places rise: {whole}");
    whole
}

fn check(of: Document, document: &str, wanted: &Expect) {
    wanted.assert_eq(&lines(of, document));
}

#[test]
fn log_records_have_their_resource() {
    check(
        Document::Otlp,
        concat!(
            r#"{"resourceLogs":[{"resource":{"attributes":["#,
            r#"{"key":"service.name","value":{"stringValue":"cart"}},"#,
            r#"{"key":"host","value":{"stringValue":"a"}},{"key":"host.id","value":{"intValue":"7"}}"#,
            r#"]},"scopeLogs":[{"scope":{"name":"lib","version":"1"},"logRecords":["#,
            r#"{"timeUnixNano":"1700000000123456789","observedTimeUnixNano":"1700000001000000000","#,
            r#""severityNumber":17,"severityText":"ERROR","body":{"stringValue":"no \"db\""},"#,
            r#""attributes":[{"key":"http.status","value":{"intValue":"503"}},"#,
            r#"{"key":"list","value":{"arrayValue":{"values":[{"boolValue":true},{}]}}},"#,
            r#"{"key":"map","value":{"kvlistValue":{"values":[{"key":"a.b","value":{"doubleValue":1.50}}]}}},"#,
            r#"{"key":"raw","value":{"bytesValue":"AAE="}},{"key":"void"}],"#,
            r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"},"#,
            r#"{"observedTimeUnixNano":"1700000002000000000","timeUnixNano":"0","body":{"kvlistValue":{"values":[]}}}"#,
            r#"]}]},{"scopeLogs":[{"logRecords":[{"timeUnixNano":1}]}]}]}"#,
            "\n",
        ),
        &expect![[r#"
            1 252 1 {"signal":"log","time":"2023-11-14T22:13:20.123456789Z","resource":{"host":"a","host.id":7,"service":{"name":"cart"}},"scope":{"name":"lib","version":"1"},"observedTime":"2023-11-14T22:13:21.000Z","severityNumber":17,"severityText":"ERROR","body":"no \"db\"","attributes":{"http":{"status":503},"list":[true,null],"map":{"a":{"b":1.50}},"raw":"AAE=","void":null},"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"}
            1 777 2 {"signal":"log","time":"2023-11-14T22:13:22.000Z","resource":{"host":"a","host.id":7,"service":{"name":"cart"}},"scope":{"name":"lib","version":"1"},"observedTime":"2023-11-14T22:13:22.000Z","body":{}}
            1 913 3 {"signal":"log","time":"1970-01-01T00:00:00.000000001Z","resource":{},"scope":{}}
        "#]],
    );
}

#[test]
fn data_points_have_their_metric() {
    check(
        Document::Otlp,
        concat!(
            r#"{"resourceMetrics":[{"resource":{},"scopeMetrics":[{"scope":{},"metrics":["#,
            r#"{"name":"up","unit":"1","gauge":{"dataPoints":["#,
            r#"{"attributes":[{"key":"job","value":{"stringValue":"api"}}],"timeUnixNano":"1700000000000000000","asInt":"1"},"#,
            r#"{"timeUnixNano":"1700000001000000000","asDouble":"NaN"}]}},"#,
            r#"{"sum":{"dataPoints":[{"startTimeUnixNano":"1","timeUnixNano":"1700000000000000000","asDouble":0.1,"#,
            r#""exemplars":[{"timeUnixNano":"2","asInt":"3","filteredAttributes":[]}]}],"#,
            r#""aggregationTemporality":2,"isMonotonic":true},"name":"hits"},"#,
            r#"{"name":"lat","histogram":{"dataPoints":[{"timeUnixNano":"1700000000000000000","count":"3","sum":1.5,"#,
            r#""bucketCounts":["1","2"],"explicitBounds":[0.5]}],"aggregationTemporality":2}},"#,
            r#"{"name":"none","gauge":{"dataPoints":null}}"#,
            r#"]}]}]}"#,
        ),
        &expect![[r#"
            1 122 1 {"signal":"metric","time":"2023-11-14T22:13:20.000Z","resource":{},"scope":{},"name":"up","unit":"1","type":"gauge","attributes":{"job":"api"},"value":1}
            1 232 2 {"signal":"metric","time":"2023-11-14T22:13:21.000Z","resource":{},"scope":{},"name":"up","unit":"1","type":"gauge","value":"NaN"}
            1 313 3 {"signal":"metric","time":"2023-11-14T22:13:20.000Z","resource":{},"scope":{},"name":"hits","type":"sum","aggregationTemporality":2,"isMonotonic":true,"startTime":"1970-01-01T00:00:00.000000001Z","value":0.1,"exemplars":[{"time":"1970-01-01T00:00:00.000000002Z","value":3,"filteredAttributes":{}}]}
            1 566 4 {"signal":"metric","time":"2023-11-14T22:13:20.000Z","resource":{},"scope":{},"name":"lat","type":"histogram","aggregationTemporality":2,"count":3,"sum":1.5,"bucketCounts":[1,2],"explicitBounds":[0.5]}
        "#]],
    );
}

#[test]
fn spans_end() {
    check(
        Document::Otlp,
        concat!(
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"GET /","kind":2,"#,
            r#""startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000001500000000","#,
            r#""events":[{"timeUnixNano":"1700000001000000000","name":"e","attributes":[{"key":"k","value":{"boolValue":false}}]}],"#,
            r#""status":{"code":2}}]}],"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]}}]}"#,
        ),
        &expect![[r#"
            1 44 1 {"signal":"span","time":"2023-11-14T22:13:21.500Z","resource":{"service":{"name":"s"}},"scope":{},"name":"GET /","kind":2,"startTime":"2023-11-14T22:13:20.000Z","endTime":"2023-11-14T22:13:21.500Z","events":[{"time":"2023-11-14T22:13:21.000Z","name":"e","attributes":{"k":false}}],"status":{"code":2}}
        "#]],
    );
}

#[test]
fn attributes_keep_dots_that_lead_into_a_value() {
    let attributes = |keys: &[&str]| {
        let list = keys.iter().map(|key| {
            format!(r#"{{"key":{},"value":{{"intValue":"{}"}}}}"#, json::string(key), key.len())
        });
        let list = list.collect::<Vec<_>>().join(",");
        let line = lines(
            Document::Otlp,
            &format!(
                r#"{{"resourceLogs":[{{"resource":{{}},"scopeLogs":[{{"scope":{{}},"logRecords":[{{"attributes":[{list}]}}]}}]}}]}}"#
            ),
        );
        let at = line.find("\"attributes\":").expect("attributes");
        line[at + 13..line.len() - 2].to_owned()
    };
    let deep = vec!["a"; 20].join(".");
    for (keys, wanted) in [
        (&["a.b", "a"][..], r#"{"a":1,"a.b":3}"#),
        (&["a.b.c", "a.b", "a.d"], r#"{"a":{"b":3,"b.c":5,"d":3}}"#),
        (&["a..b", ".a", "a.", ""], r#"{"":0,".a":2,"a.":2,"a..b":4}"#),
        (&["a", "a"], r#"{"a":1}"#),
        (&["a b.c\"d"], r#"{"a b":{"c\"d":7}}"#),
    ] {
        assert_eq!(attributes(keys), wanted, "{keys:?}");
    }
    let deep = attributes(&[&deep]);
    assert_eq!(deep.matches('{').count(), 16, "{deep}");
}

#[test]
fn events_are_listed_and_watched() {
    check(
        Document::Kubernetes,
        r#"{
    "apiVersion": "v1",
    "items": [
        {
            "apiVersion": "v1",
            "count": 4,
            "eventTime": null,
            "firstTimestamp": "2026-01-02T03:00:00Z",
            "involvedObject": {
                "kind": "Pod",
                "name": "web-1",
                "namespace": "shop"
            },
            "kind": "Event",
            "lastTimestamp": "2026-01-02T03:04:05Z",
            "message": "Readiness probe failed: \"x\"",
            "metadata": { "name": "web-1.17", "uid": "u", "resourceVersion": "12" },
            "reason": "Unhealthy",
            "reportingComponent": "",
            "source": { "component": "kubelet", "host": "n1" },
            "type": "Warning"
        },
        {
            "apiVersion": "events.k8s.io/v1",
            "deprecatedCount": 1,
            "deprecatedFirstTimestamp": null,
            "deprecatedSource": {},
            "eventTime": "2026-01-02T03:04:06.123456Z",
            "kind": "Event",
            "note": "bound",
            "reason": "Scheduled",
            "regarding": { "kind": "Node", "name": "n1" },
            "reportingController": "scheduler",
            "series": { "count": 7, "lastObservedTime": "2026-01-02T03:05:00.000000Z" }
        },
        { "kind": "Pod", "metadata": {} },
        7
    ],
    "kind": "List",
    "metadata": { "resourceVersion": "" }
}
{"type":"ADDED","object":{"kind":"Event","involvedObject":{},"metadata":{"creationTimestamp":"2026-01-02T03:00:00Z"}}}
{"kind":"Event","regarding":{"kind":"Pod","namespace":"a","name":"b"},"eventTime":"2026-01-02T03:00:00Z","reason":"R"}
{"type":"ERROR","object":{"kind":"Status","code":410}}
{"kind":"EventList","items":[]}
[{"kind":"Event","involvedObject":{"kind":"A"},"reason":"x"}]
"#,
        &expect![[r#"
            4 9 1 {"time":"2026-01-02T03:04:05Z","object":"Pod/shop/web-1","reason":"Unhealthy","message":"Readiness probe failed: \"x\"","count":4,"reporter":"kubelet","apiVersion":"v1","eventTime":null,"firstTimestamp":"2026-01-02T03:00:00Z","involvedObject":{"kind":"Pod","name":"web-1","namespace":"shop"},"kind":"Event","lastTimestamp":"2026-01-02T03:04:05Z","metadata":{"name":"web-1.17","uid":"u","resourceVersion":"12"},"reportingComponent":"","source":{"component":"kubelet","host":"n1"},"type":"Warning"}
            23 9 1 {"time":"2026-01-02T03:05:00.000000Z","object":"Node/n1","reason":"Scheduled","message":"bound","count":7,"reporter":"scheduler","apiVersion":"events.k8s.io/v1","firstTimestamp":null,"source":{},"eventTime":"2026-01-02T03:04:06.123456Z","kind":"Event","involvedObject":{"kind":"Node","name":"n1"},"reportingController":"scheduler","series":{"count":7,"lastObservedTime":"2026-01-02T03:05:00.000000Z"}}
            36 9 1 !"`kind` is Pod, and not Event" "{ \"kind\": \"Pod\", \"metadata\": {} }"
            37 9 1 !"invalid type: integer `7`, expected an object" "7"
            42 1 1 {"time":"2026-01-02T03:00:00Z","object":"","reason":"","message":"","count":1,"watch":"ADDED","kind":"Event","involvedObject":{},"metadata":{"creationTimestamp":"2026-01-02T03:00:00Z"}}
            43 1 1 {"time":"2026-01-02T03:00:00Z","object":"Pod/a/b","reason":"R","message":"","count":1,"kind":"Event","involvedObject":{"kind":"Pod","namespace":"a","name":"b"},"eventTime":"2026-01-02T03:00:00Z"}
            44 1 1 !"`kind` is Status, and not Event" "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}"
            46 2 1 {"object":"A","reason":"x","message":"","count":1,"kind":"Event","involvedObject":{"kind":"A"}}
        "#]],
    );
}

#[test]
fn alerts_have_their_group() {
    check(
        Document::Alertmanager,
        r#"{"receiver":"team","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"Down","instance":"a","job":"x\\y"},"annotations":{"summary":"a b"},"startsAt":"2026-01-02T03:04:05.678Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"1b1b"},{"status":"resolved","labels":{"alertname":"Down"},"annotations":{},"startsAt":"2026-01-02T03:00:00Z","endsAt":"2026-01-02T03:10:00Z","fingerprint":"2c"}],"groupLabels":{"alertname":"Down"},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://am","version":"4","groupKey":"{}:{alertname=\"Down\"}","truncatedAlerts":0}
{
  "alerts": [
    {"labels": {"a": 1}},
    {"labels": {}}
  ],
  "version": "4"
}
{"alerts":[{"labels":{}}],"version":"3"}
{"alerts":null}
{"receiver":"x"}
{"receiver":"broken","alerts":[{"labels":{}},{"la
{"receiver":"x","alerts":[{"status":"resolved","startsAt":"a","endsAt":"b"}],"status":"resolved"} x
nothing
{"receiver":"cut","alerts":[{"labels":{}}"#,
        &expect![[r#"
            1 48 1 {"time":"2026-01-02T03:04:05.678Z","alert":"Down{instance=\"a\",job=\"x\\\\y\"}","receiver":"team","groupStatus":"firing","groupKey":"{}:{alertname=\"Down\"}","groupLabels":{"alertname":"Down"},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://am","status":"firing","labels":{"alertname":"Down","instance":"a","job":"x\\y"},"annotations":{"summary":"a b"},"startsAt":"2026-01-02T03:04:05.678Z","generatorURL":"","fingerprint":"1b1b"}
            1 267 2 {"time":"2026-01-02T03:10:00Z","alert":"Down","receiver":"team","groupStatus":"firing","groupKey":"{}:{alertname=\"Down\"}","groupLabels":{"alertname":"Down"},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://am","status":"resolved","labels":{"alertname":"Down"},"annotations":{},"startsAt":"2026-01-02T03:00:00Z","endsAt":"2026-01-02T03:10:00Z","fingerprint":"2c"}
            4 5 1 !"`labels`: the label `a` is no text" "{\"labels\": {\"a\": 1}}"
            5 5 1 {"alert":"","labels":{}}
            9 12 1 !"the body has version 3; 4 is read" "{\"labels\":{}}"
            11 1 1 !"no body of a webhook: `alerts` is missing" "{\"receiver\":\"x\"}"
            12 32 1 !"its document is broken at 12:50: a line ends within a string" "{\"labels\":{}}"
            12 50 0 !"a line ends within a string" "{\"la"
            13 27 1 {"time":"b","alert":"","receiver":"x","groupStatus":"resolved","status":"resolved","startsAt":"a","endsAt":"b"}
            13 99 0 !"expected a document, which begins with `{`" "x"
            14 1 0 !"expected a document, which begins with `{`" "nothing"
            15 29 1 !"its document is broken at 15:42: the document ends before it is complete" "{\"labels\":{}}"
            15 42 0 !"the document ends before it is complete" ""
        "#]],
    );
}

#[test]
fn what_is_broken_is_told_and_what_follows_is_read() {
    check(
        Document::Otlp,
        concat!(
            "\u{feff}\n",
            "{\"resourceLogs\":[{\"resource\":{\"attributes\":7},\"scopeLogs\":[{\"scope\":{},\"logRecords\":[{\"a\":1}]}]}]}\n",
            "{\"resourceLogs\":[{\"resource\":{},\"scopeLogs\":[{\"scope\":{},\"logRecords\":[{\"a\":1},{\"a\":01},{\"timeUnixNano\":\"x\"},[]\n",
            "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"a\":\"b\n",
            "{\"resourceLogs\":{}}\n{\"resourceLogs\":[7]}\n{\"other\":[]}\n[]\n",
            "{\"resourceLogs\"[]}\n{\"resourceLogs\":]}\n{resourceLogs:[]}\n{\"resourceLogs\":[,]}\n{\"resourceLogs\":[],}\n{\"a\\x\":1}\n",
            "{\"a\":1}}\n",
            "{\"resourceLogs\":[{\"resource\":{},\"scopeLogs\":[{\"scope\":{},\"logRecords\":[{\"last\":1}]}]}]}",
        ),
        &expect![[r#"
            2 86 1 !"`resource`: invalid type: integer `7`, expected a sequence" "{\"a\":1}"
            3 72 1 {"signal":"log","resource":{},"scope":{},"a":1}
            3 86 2 !"invalid number" "{\"a\":01}"
            3 105 3 !"expected a time in nanoseconds since 1970" "{\"timeUnixNano\":\"x\"}"
            3 110 4 !"invalid type: sequence, expected an object" "[]"
            3 112 0 !"the line ends before the document is complete" ""
            4 54 0 !"a line ends within a string" "{\"a\":\"b"
            5 17 1 !"expected an array" "{}"
            6 18 1 !"expected an object" "7"
            7 1 1 !"no request of OTLP: it has none of [\"resourceLogs\", \"resourceMetrics\", \"resourceSpans\"]" "{\"other\":[]}"
            9 16 0 !"expected `:`" "[]}"
            10 17 0 !"expected a value" "]}"
            11 2 0 !"expected a key or `}`" "resourceLogs:[]}"
            12 18 0 !"expected a value" ",]}"
            13 20 0 !"expected a key" "}"
            14 6 0 !"expected a key" "\":1}"
            15 1 1 !"no request of OTLP: it has none of [\"resourceLogs\", \"resourceMetrics\", \"resourceSpans\"]" "{\"a\":1}"
            15 8 0 !"expected a document, which begins with `{`" "}"
            16 72 1 {"signal":"log","resource":{},"scope":{},"last":1}
        "#]],
    );
}

/// A stream that goes on and on is read in bounded memory.
#[test]
fn what_is_too_long_is_told() {
    let long = "x".repeat(2 << 20);
    let record = |text: &str| {
        format!(
            r#"{{"resourceLogs":[{{"resource":{{}},"scopeLogs":[{{"scope":{{}},"logRecords":[{text},{{"a":1}}]}}]}}]}}"#
        )
    };
    let told = lines_in_pieces(
        Document::Otlp,
        record(&format!("{{\"a\":\"{long}\"}}")).as_bytes(),
        CHUNK_BYTES,
        CHUNK_BYTES,
    );
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told.len(), 2);
    assert!(told[0].starts_with("1 72 1 !\"longer than a record may be: 2097160 bytes\""));
    assert!(told[0].len() < 2000 && told[1].contains("\"a\":1"), "{}", told[1]);
    // What stands around records may not be longer either.
    let around =
        record("{}").replace("\"resource\":{}", &format!("\"resource\":{{\"a\":\"{long}\"}}"));
    let told = lines(Document::Otlp, &around);
    assert!(told.contains("`resource`: longer than a record may be: 2097160 bytes"), "{told}");
    // Records that wait are no more than so many.
    let alerts = format!("{{\"labels\":{{\"a\":\"{}\"}}}},", "x".repeat(500_000)).repeat(40);
    let told = lines_in_pieces(
        Document::Alertmanager,
        format!("{{\"alerts\":[{alerts}{{}}]}}").as_bytes(),
        CHUNK_BYTES,
        CHUNK_BYTES,
    );
    assert_eq!(told.matches("of records wait for its end").count(), 35, "{told:.300}");
    // An unfinished line of text is not held.
    let mut line = format!("{long}\nup 1 1\n");
    line.insert_str(0, "up 1 2\n");
    let told = lines(Document::OpenMetrics, &line);
    assert!(told.contains("2 1 0 !\"longer than a record may be: 2097152 bytes\""), "{told:.300}");
    assert_eq!(told.lines().count(), 3);
}

/// Nesting costs no stack, and is told where a parser stops.
#[test]
fn what_is_nested_deeply_is_told() {
    for open in ["[", "{\"a\":", "{\"attributes\":[{\"value\":{\"kvlistValue\":"] {
        let record = open.repeat(100_000);
        let line = format!(
            r#"{{"resourceLogs":[{{"resource":{{}},"scopeLogs":[{{"scope":{{}},"logRecords":[{record}"#
        );
        let told = lines_in_pieces(Document::Otlp, line.as_bytes(), CHUNK_BYTES, CHUNK_BYTES);
        assert!(told.contains("the document ends before it is complete"), "{told:.300}");
    }
    let (open, close) = (r#"{"kvlistValue":{"values":[{"key":"a","value":"#, "}]}}");
    let value = format!("{}{{}}{}", open.repeat(60), close.repeat(60));
    let record = format!(r#"{{"attributes":[{{"key":"a","value":{value}}}]}}"#);
    let told = lines(
        Document::Otlp,
        &format!(
            r#"{{"resourceLogs":[{{"resource":{{}},"scopeLogs":[{{"scope":{{}},"logRecords":[{record}]}}]}}]}}"#
        ),
    );
    assert!(told.contains("recursion limit exceeded"), "{told}");
}

#[test]
fn damage_cuts_off_the_document_that_is_open() {
    let cut = |of: Document, text: &str| {
        let mut text = Some(text.as_bytes().to_vec());
        let mut documents = Documents::new(of);
        let mut out = vec![0; 1 << 16];
        let mut read = String::new();
        loop {
            let next = |out: &mut [u8]| match text.take() {
                Some(text) => {
                    out[..text.len()].copy_from_slice(&text);
                    Ok(text.len())
                }
                None => Err(InputError::Damaged {
                    input: "x".to_owned(),
                    offset: 7,
                    detail: "bad".to_owned(),
                    line: None,
                }),
            };
            match documents.read(&mut out, next) {
                Ok(count) => read.push_str(str::from_utf8(&out[..count]).expect("text")),
                Err(InputError::Damaged { line, .. }) => return (read.lines().count(), line),
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    let event = "{\"kind\":\"Event\",\"involvedObject\":{}}\n";
    assert_eq!(cut(Document::Kubernetes, event), (1, None));
    let list = format!("{event}{{\"items\":[\n{event},{event}");
    assert_eq!(cut(Document::Kubernetes, &list), (3, Some(2)));
    assert_eq!(cut(Document::Alertmanager, "\n{\"alerts\":[{}"), (0, Some(2)));
    assert_eq!(cut(Document::OpenMetrics, "a 1 1\nb 1"), (1, Some(2)));
    assert_eq!(cut(Document::OpenMetrics, "a 1 1\n"), (1, None));
}

#[test]
fn what_a_watch_tells_of_no_object_is_no_event() {
    for object in ["null", "\"x\"", "[1,2]", "17"] {
        let line =
            lines(Document::Kubernetes, &format!("{{\"type\":\"ADDED\",\"object\":{object}}}\n"));
        assert!(line.starts_with("1 1 1 !\"`object`: invalid type"), "{line}");
        assert!(line.ends_with(&format!("\\\"object\\\":{}}}\"\n", object.replace('"', "\\\""))));
    }
}

#[test]
fn lists_in_lists_stay_as_they_are() {
    let log = |record: &str| {
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#)
    };
    let depth = 30_000;
    let deep = format!("{}{}", r#"{"events":["#.repeat(depth), "]}".repeat(depth));
    let line = lines_in_pieces(Document::Otlp, log(&deep).as_bytes(), CHUNK_BYTES, CHUNK_BYTES);
    assert_eq!(line.matches(r#""events":["#).count(), depth);
}

#[test]
fn null_is_as_if_it_were_not_there() {
    check(
        Document::Otlp,
        concat!(
            r#"{"resourceLogs":[{"resource":null,"scopeLogs":[{"scope":null,"logRecords":["#,
            r#"{"timeUnixNano":null,"observedTimeUnixNano":"5","events":null,"body":null,"#,
            r#""bucketCounts":null,"attributes":[{"key":"a","value":null},"#,
            r#"{"key":"b","value":{"arrayValue":{"values":null}}},"#,
            r#"{"key":"c","value":{"kvlistValue":{"values":null}}}]}]}]}]}"#,
        ),
        &expect![[r#"
            1 76 1 {"signal":"log","time":"1970-01-01T00:00:00.000000005Z","resource":{},"scope":{},"observedTime":"1970-01-01T00:00:00.000000005Z","attributes":{"a":null,"b":[],"c":{}}}
        "#]],
    );
}

#[test]
fn buckets_are_numbers_in_exponential_histograms_too() {
    let line = lines(
        Document::Otlp,
        concat!(
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"exponentialHistogram":{"dataPoints":["#,
            r#"{"timeUnixNano":"5","positive":{"offset":1,"bucketCounts":["1","2"]},"negative":null}]}}]}]}]}"#,
        ),
    );
    assert!(line.ends_with(",\"positive\":{\"offset\":1,\"bucketCounts\":[1,2]}}\n"), "{line}");
}

#[test]
fn names_that_are_none_are_in_quotes() {
    let series = |name: &str, labels: &[(&str, &str)]| json::series(name, labels.iter().copied());
    assert_eq!(series("a:b", &[("c", "d"), ("_e1", "")]), "a:b{_e1=\"\",c=\"d\"}");
    assert_eq!(series("up", &[("a=\"x\",b", "y")]), "up{\"a=\\\"x\\\",b\"=\"y\"}");
    assert_eq!(series("my.up", &[("a.b", "y")]), "{\"my.up\",\"a.b\"=\"y\"}");
    assert_eq!(series("my.up", &[]), "{\"my.up\"}");
    assert_eq!(series("", &[("a:b", "y")]), "{\"a:b\"=\"y\"}");
    assert_eq!(series("", &[]), "");
}

#[test]
fn a_backslash_before_anything_else_stays() {
    let line = lines(Document::OpenMetrics, "a{p=\"C:\\dir\\\\x\\\"\\n\"} 1 1\n");
    assert!(line.contains(r#""labels":{"p":"C:\\dir\\x\"\n"}"#), "{line}");
}

#[test]
fn what_may_hold_records_and_is_not_read_is_told() {
    for (of, document, wanted) in [
        (
            Document::Otlp,
            r#"{"resourceLogs":[{"resource":{},"instrumentationLibraryLogs":[{}]}]}"#,
            "1 66 1 !\"`instrumentationLibraryLogs` is not read: expected one of [\\\"scopeLogs\\\"]\" \
             \"[{}]\"\n",
        ),
        (Document::Otlp, r#"{"resourceLogs":[{"resource":{},"schemaUrl":"u"},{}]}"#, ""),
        (Document::Otlp, r#"{"resourceLogs":null}"#, ""),
        (
            Document::Prometheus,
            r#"{"status":"success","data":{"activeTargets":[]}}"#,
            "1 47 1 !\"`activeTargets` is not read: expected one of [\\\"result\\\"]\" \"[]\"\n",
        ),
        (Document::Prometheus, r#"{"status":"success","data":{"result":[]}}"#, ""),
    ] {
        assert_eq!(lines(of, document), wanted, "{document}");
    }
}

#[test]
fn what_is_said_of_a_document_is_no_element() {
    let found = lines(Document::Alertmanager, r#"{"alerts":[{}]}{"alerts":[{}]}"#);
    let numbers = found.lines().map(|line| read_place(line).expect("a place").2);
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn what_stands_around_records_that_wait_takes_room() {
    let unit = "u".repeat(RECORD_BYTES_MAX / 2);
    let metric = format!(r#"{{"unit":"{unit}","gauge":{{"dataPoints":[{{}}]}}}},"#);
    let metrics = metric.repeat(2 * HELD_BYTES_MAX / RECORD_BYTES_MAX + 1);
    let document = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metrics}"#);
    let lines = lines_in_pieces(Document::Otlp, document.as_bytes(), CHUNK_BYTES, CHUNK_BYTES);
    assert!(lines.contains("bytes of records wait for its end"), "{}", lines.len());
}

#[test]
fn times_may_have_exponents() {
    let line = lines(
        Document::Otlp,
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":1.7e18}]}]}]}"#,
    );
    assert!(line.contains(r#""time":"2023-11-14T22:13:20.000Z""#), "{line}");
}
