//! The native conditions and the slots of the interpreted ones against the bare interpreter, on
//! random conditions and records.

use std::sync::Arc;

use cel::common::types::{CelBool, CelString};
use cel::parser::Parser;
use cel::{Context, Env, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::condition::{Attribute, Condition, Fault, Paths, RecordView, Verdict};
use super::expression::{Labels, Sees};
use super::interpreted::from_json;
use super::known::Known;
use crate::model::Scalar;

/// A condition on records of which nothing is known, and which have no labels.
fn compile(text: &str, paths: &mut Paths) -> Result<Condition, Vec<Fault>> {
    let sees = Sees { known: &Known::default(), labels: Labels::Never };
    Condition::compile(text, 0..0, sees, paths).map(|(condition, _)| condition)
}

/// A record taken apart by walking its JSON.
struct Record<'r> {
    slots: Vec<Scalar<'r>>,
    data: &'r Json,
}

impl RecordView for Record<'_> {
    fn slot(&self, slot: usize) -> &Scalar<'_> {
        &self.slots[slot]
    }

    fn data(&self) -> Json {
        self.data.clone()
    }
}

fn scalar(value: Option<&Json>) -> Scalar<'_> {
    match value {
        None => Scalar::Missing,
        Some(Json::Null) => Scalar::Null,
        Some(Json::Bool(value)) => Scalar::Bool(*value),
        Some(Json::Number(number)) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Scalar::Int(value),
            (None, Some(value)) => Scalar::UInt(value),
            (None, None) => Scalar::Float(number.as_f64().expect("a double")),
        },
        Some(Json::String(text)) => Scalar::Str(text.as_str().into()),
        Some(Json::Array(_) | Json::Object(_)) => Scalar::Composite,
    }
}

fn take_apart<'r>(record: &'r Json, paths: &Paths) -> Record<'r> {
    let data = &record["data"];
    let slots = paths.as_slice().iter().map(|attribute| match attribute {
        Attribute::Type => scalar(record.get("type")),
        Attribute::Subject => scalar(record.get("subject")),
        Attribute::Data(keys) => {
            scalar(keys.iter().try_fold(data, |at, key| at.as_object()?.get(key.as_str())))
        }
        _ => Scalar::Missing,
    });
    Record { slots: slots.collect(), data }
}

/// What the interpreter alone makes of it.
fn reference(env: &Arc<Env>, text: &str, record: &Json) -> Verdict {
    let expr = Parser::new().parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut context = Context::with_env(Arc::clone(env));
    for name in ["type", "subject"] {
        if let Some(Json::String(value)) = record.get(name) {
            context.add_variable_as_val(name, Box::new(CelString::from(value.clone())));
        }
    }
    context.add_variable_as_val("data", from_json(&record["data"]));
    let value = Value::resolve_val(&expr, &context).ok();
    let value = value.and_then(|value| value.downcast_ref::<CelBool>().map(|value| *value.inner()));
    value.map_or(Verdict::Error, Verdict::from)
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "0",
            "1",
            "-1",
            "2",
            "9223372036854775807",
            "-9223372036854775808",
            "1u",
            "18446744073709551615u",
            "9223372036854775808u",
            "0.0",
            "-0.0",
            "1.0",
            "1.5",
            "9223372036854775807.0",
            "18446744073709551615.0",
            "9007199254740993",
            "1e300",
            "true",
            "false",
            "null",
            "''",
            "'a'",
            "'b'",
            "'ä'",
            "\"a\"",
            "r'a'",
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|value| value.to_string()),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "type",
        "subject",
        "data",
        "data.a",
        "data.b",
        "data.a.b",
        "data.a.c",
        "data.b.a.c",
        "data['a']",
        "data['a'].b",
        "data.a['b c']",
        "data['a.b']",
    ])
    .prop_map(str::to_owned)
}

/// Never native: calls, arithmetic, comprehensions, comparisons of two paths.
fn other() -> impl Strategy<Value = String> {
    prop_oneof![
        (path(), literal()).prop_map(|(p, l)| format!("{p} + {l} == {l}")),
        (path(), path()).prop_map(|(p, q)| format!("{p} == {q}")),
        (path(), path()).prop_map(|(p, q)| format!("{p} < {q}")),
        (path(), path()).prop_map(|(p, q)| format!("{p} in {q}")),
        (literal(), path()).prop_map(|(l, p)| format!("{l} in {p}")),
        path().prop_map(|p| format!("size({p}) == 1")),
        (path(), path()).prop_map(|(p, q)| format!("{p}.contains({q})")),
        path().prop_map(|p| format!("{p}.exists(x, x == 'b')")),
        path().prop_map(|p| format!("{p}.all(type, type != 'b')")),
        path().prop_map(|p| format!("{p}.exists(data, data.a == 1)")),
        path().prop_map(|p| format!("type({p}) == string")),
        path().prop_map(|p| format!("{p}[0] == 1")),
        (path(), literal()).prop_map(|(p, l)| format!("({p} ? {l} : false)")),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let operator = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let has =
        prop::sample::select(vec!["data.a", "data.b", "data.a.b", "data.b.a.c", "data['a'].b"]);
    let leaf = prop_oneof![
        4 => (path(), operator.clone(), literal()).prop_map(|(p, o, l)| format!("{p} {o} {l}")),
        4 => (literal(), operator, path()).prop_map(|(l, o, p)| format!("{l} {o} {p}")),
        2 => (path(), prop::collection::vec(literal(), 0..4))
            .prop_map(|(p, l)| format!("{p} in [{}]", l.join(", "))),
        2 => (path(), prop::sample::select(vec!["contains", "startsWith", "endsWith", "matches"]), literal())
            .prop_map(|(p, f, l)| format!("{p}.{f}({l})")),
        2 => has.prop_map(|p| format!("has({p})")),
        1 => path().prop_filter("never true or false", |p| p.contains('['))
            .boxed(),
        1 => prop::sample::select(vec!["data.a", "data.b", "data.a.b", "true", "false"])
            .prop_map(str::to_owned),
        2 => other(),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|all| format!("({})", all.join(" && "))),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|any| format!("({})", any.join(" || "))),
            inner.prop_map(|not| format!("!({not})")),
        ]
    })
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        2 => prop::sample::select(vec![
            json!(null), json!(true), json!(false), json!(0), json!(1), json!(-1), json!(2),
            json!(0.0), json!(-0.0), json!(1.0), json!(1.5), json!(i64::MAX), json!(i64::MIN),
            json!(u64::MAX), json!(9_223_372_036_854_775_808_u64), json!(9_007_199_254_740_992_i64),
            json!(9_223_372_036_854_775_807.0), json!(1e300), json!(""), json!("a"), json!("b"),
            json!("ä"), json!("ab"), json!([]), json!({}),
        ]),
        1 => any::<i64>().prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        let keys = prop::sample::select(vec!["a", "b", "c", "b c", "a.b"]).prop_map(str::to_owned);
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            4 => prop::collection::vec((keys, inner), 0..4)
                .prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

fn record() -> impl Strategy<Value = Json> {
    let text = prop::sample::select(vec!["a", "b", "", "ä"]);
    (text.clone(), prop::option::of(text), value()).prop_map(|(type_, subject, data)| {
        let mut record = json!({ "type": type_, "data": data });
        if let Some(subject) = subject {
            record["subject"] = subject.into();
        }
        record
    })
}

/// A few, or a hundredth of what all fuzzing is told to be.
fn cases() -> u32 {
    let all = std::env::var("LIMBECK_FUZZ").map_or(0, |all| all.parse().expect("a number"));
    (all / 100).max(4_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn every_verdict_is_the_interpreters(
        text in condition(),
        records in prop::collection::vec(record(), 1..4),
    ) {
        let env = Arc::new(Env::default().with_optional_support(false).with_stdlib());
        let mut paths = Paths::default();
        let Ok(condition) = compile(&text, &mut paths) else {
            return Err(TestCaseError::fail(format!("refused: {text}")));
        };
        for record in &records {
            let found = condition.eval(&take_apart(record, &paths));
            prop_assert_eq!(found, reference(&env, &text, record), "{} on {}", text, record);
        }
    }
}

#[test]
fn what_is_common_is_native() {
    for (text, native) in [
        ("type == 'a' && !(data.x in ['a', 1]) || 3 < data.y && has(data.z)", true),
        ("data['a.b'].c != null", true),
        ("data.ok", true),
        ("true", true),
        ("data.x == data.y", false),
        ("type == 'a' && data.x.startsWith('b')", true),
        ("type == 'a' && data.x.startsWith(subject)", false),
        ("data.x.matches('^a+$')", true),
        ("data.x.matches(type)", false),
        ("type == 'a' && size(data.x) > 1", false),
        ("b'a' == type", false),
    ] {
        let condition = compile(text, &mut Paths::default()).expect(text);
        assert_eq!(condition.is_native(), native, "{text}");
    }
}

#[test]
fn lists_of_keys_are_in_order() {
    let data: Vec<String> = (0..40).map(|i| format!("k{i:02}")).collect();
    let object: Json = data.iter().map(|key| (key.clone(), json!(1))).collect();
    let text = "data.map(k, k)[0] == 'k00' && data.filter(k, k != 'k00')[38] == 'k39'";
    let mut paths = Paths::default();
    let condition = compile(text, &mut paths).expect(text);
    let record = json!({ "type": "a", "data": object });
    assert_eq!(condition.eval(&take_apart(&record, &paths)), Verdict::True);
}

#[test]
fn a_path_of_text_does_not_read_the_data() {
    struct Strict<'r>(Record<'r>);
    impl RecordView for Strict<'_> {
        fn slot(&self, slot: usize) -> &Scalar<'_> {
            self.0.slot(slot)
        }
        fn data(&self) -> Json {
            panic!("the data is read")
        }
    }
    let text = "data.msg.contains(type) && data.n + 1 == 2 && size(type) == 1";
    let mut paths = Paths::default();
    let condition = compile(text, &mut paths).expect(text);
    let record = json!({ "type": "a", "data": { "msg": "bar", "n": 1 } });
    assert_eq!(condition.eval(&Strict(take_apart(&record, &paths))), Verdict::True);
}
