//! The schema of what stages are asked for.

use serde_json::{Value, json};

use super::super::read;
use super::{count, described, duration, number, object, reference, scalar};

pub(super) fn quorum() -> Value {
    let mut quorum = object(&read::QUORUM_FIELDS, &["of", "within"], |field| match field {
        "of" => described(scalar(), "The label that says who a witness is."),
        "at_least" => described(count(), "So many of them; so much, where they have weights."),
        "share" => json!({
            "description": "Such a part of all votes that count, as 0.5.",
            "anyOf": [
                { "type": "number", "exclusiveMinimum": 0, "maximum": 1 },
                { "type": "string", "pattern": "^[0-9.eE+-]+$" },
            ],
        }),
        "within" => duration("For so long a vote counts."),
        "weights" => json!({
            "description": "What each witness weighs; others have no vote. Without: 1 each.",
            "type": "object", "minProperties": 1,
            "additionalProperties": { "anyOf": [
                { "type": "number", "exclusiveMinimum": 0 },
                { "type": "string", "pattern": "^[0-9.eE+]+$" },
            ] },
        }),
        other => unreachable!("the schema says nothing of the field {other}"),
    });
    quorum["oneOf"] = json!([{ "required": ["at_least"] }, { "required": ["share"] }]);
    quorum
}

pub(super) fn grace() -> Value {
    let marker = object(&read::MARKER_FIELDS, &["signal"], |field| match field {
        "signal" => described(reference("name"), "Its records mark the entity."),
        "states" => json!({
            "description": "Those that show one of these; all if not given.",
            "type": "array", "minItems": 1, "items": scalar(),
        }),
        other => unreachable!("the schema says nothing of the field {other}"),
    });
    let after = json!({ "anyOf": [{ "const": read::FIRST_SEEN }, marker] });
    object(&read::GRACE_FIELDS, &["for"], |field| match field {
        "for" => duration("How long it is."),
        "after" => json!({
            "description": "What it is after; first_seen if not given.",
            "anyOf": [after, { "type": "array", "minItems": 1, "items": after }],
        }),
        other => unreachable!("the schema says nothing of the field {other}"),
    })
}

pub(super) fn flap_damping() -> Value {
    object(&read::DAMPING_FIELDS, &[], |field| match field {
        "fault" => described(number(), "The penalty of a change to a fault; 1000 if not given."),
        "return" => described(number(), "That of a change from a fault to none; 0 if not given."),
        "change" => described(number(), "That of any other change; 500 if not given."),
        "suppress" => described(number(), "A penalty above it suppresses; 2000 if not given."),
        "reuse" => described(number(), "One that has decayed to it does not; 750 if not given."),
        "half_life" => duration("Within this time a penalty decays by half; 15m if not given."),
        "max" => duration("For so long after its last change at most; 1h if not given."),
        "test" => described(
            json!({ "enum": [true, false, "true", "false"] }),
            "Whether nothing is withheld: what would be is counted.",
        ),
        other => unreachable!("the schema says nothing of the field {other}"),
    })
}
