//! The schema of what a rule asks of how long its faults last.

use serde_json::{Value, json};

use super::super::read;
use super::{count, described, duration, object, reference, scalar};

pub(super) fn persistence() -> Value {
    described(
        object(&read::PERSISTENCE_FIELDS, &[], |field| match field {
            "by" => described(
                scalar(),
                "A label, whose values make groups; else all of the rule is one.",
            ),
            "prior" => described(
                count(),
                "For how many faults of an entity its group stands; 10 if not given.",
            ),
            "remember" => duration("For how long after the last fault; 90d if not given."),
            "horizons" => json!({
                "description": "Which times a fault may last.",
                "type": "array", "minItems": 1, "items": reference("duration"),
            }),
            "announce" => json!({
                "description": "When a fault is told of at once, as p_lasts(\"5m\") > 0.9.",
                "type": "string", "minLength": 1,
            }),
            other => unreachable!("the schema says nothing of the field {other}"),
        }),
        "How likely its faults are to last, learned of those before.",
    )
}
