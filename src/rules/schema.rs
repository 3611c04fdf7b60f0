//! The JSON Schema of a rule file, for editors.
//!
//! It is made of the parser's own lists of fields, so that neither knows a field that the other
//! does not. What a schema cannot say (that a name is defined, that a condition is CEL) only the
//! parser checks: a file that the schema accepts may be wrong, one that it refuses is.

mod persistence;
mod silence;
mod stages;

use serde_json::{Map, Value, json};

use self::silence::{silence, time_interval, window};
use super::fields::NAME_BYTES_MAX;
use super::read;
use super::route::Kind;
use super::source;
use crate::model::duration;

/// The JSON Schema (draft 2020-12) of a rule file.
pub fn schema() -> Value {
    let mut schema = object(&read::FIELDS, &["version", "signals", "rules"], |field| match field {
        "version" => described(json!({ "enum": [1, "1"] }), "The version of the rule language."),
        "lateness" => duration("A record may arrive so long after it happened; 0 if not given."),
        "max_advance" => duration(
            "A record that moves the clock further than this at once is a dead letter; 30d if not \
             given.",
        ),
        "expire_after" => {
            duration("An entity that is silent for so long is forgotten; 7d if not given.")
        }
        "label_values_max" => described(
            count(),
            "So many values of a label are told apart in a log; 1000 if not given.",
        ),
        "sources" => named("source", "How the lines of a log are read. Without: CloudEvents."),
        "signals" => named("signal", "What makes states of records."),
        "rules" => json!({
            "description": "What makes episodes of states.",
            "type": "array", "minItems": 1, "items": reference("rule"),
        }),
        "sinks" => named_by("sink_name", "sink", "Where notifications can go."),
        "routes" => json!({
            "description": "Which notifications go to which sinks.",
            "type": "array", "minItems": 1, "items": reference("route"),
        }),
        "silences" => named("silence", "What nobody is told of for a time, once."),
        "windows" => named("window", "What nobody is told of for a time, again and again."),
        other => unreachable!("the schema says nothing of the field {other}"),
    });
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Limbeck rule file");
    schema["$defs"] = json!({
        "source": source(),
        "time": time(),
        "text": text(),
        "signal": signal(),
        "rule": rule(),
        "sink": sink(),
        "route": route(),
        "matchers": matchers(),
        "silence": silence(),
        "window": window(),
        "interval": time_interval(),
        "setting": {
            "description": "A text, or the variable or file that has it: { env: NAME }.",
            "anyOf": [scalar(), reference("elsewhere")],
        },
        "elsewhere": elsewhere(),
        "sink_name": { "maxLength": NAME_BYTES_MAX, "pattern": "^[A-Za-z0-9_-]+$" },
        "texts": {
            "description": "Texts by name, with places as {{ $labels.NAME }}, {{ $value }}, \
                            {{ $entity }}, {{ $state }}, {{ $signal }}, {{ $rule }}.",
            "type": "object", "propertyNames": label_name(), "additionalProperties": scalar(),
        },
        "expression": {
            "description": "CEL that comes to a text or a number, as data.zone; or { field: zone }.",
            "anyOf": [scalar(), object(&read::VALUE_FIELDS, &read::VALUE_FIELDS, |_| path())],
        },
        "condition": {
            "description": "CEL over id, source, type, subject, sequence, severity, traceparent and \
                            data, as data.state == \"ready\".",
            "type": ["string", "boolean"],
        },
        "duration": {
            "description": "As 30s, 1h30m, 100ms: largest unit first.",
            "anyOf": [
                { "const": 0 },
                { "type": "string", "minLength": 1, "pattern": duration_pattern() },
            ],
        },
        "key": { "maxLength": NAME_BYTES_MAX, "pattern": "^[^\\s=`]+$" },
        "name": {
            "type": ["string", "number", "boolean"],
            "maxLength": NAME_BYTES_MAX, "pattern": "^[^\\s=`]+$",
        },
    });
    schema
}

fn source() -> Value {
    let mut source = object(&source::FIELDS, &["format"], |field| match field {
        "format" => described(json!({ "enum": source::FORMATS }), "The shape of a line."),
        "skew" => described(
            json!({ "enum": source::SKEWS.map(|(name, _)| name) }),
            "What is done about clocks that are off: correct adds the estimate to the event times.",
        ),
        "explode" => described(path(), "An array: each of its elements makes a record."),
        "delimiter" => json!({
            "description": "What stands between fields: a punctuation mark, or tab.",
            "type": "string", "pattern": "^(tab|[\\t!#-/:-@\\[-`{-~])$",
        }),
        "header" => json!({
            "description": "What the columns are called; if not given, the first line says so.",
            "type": "array", "minItems": 1, "items": scalar(),
        }),
        "pattern" => described(scalar(), "A regular expression; its named groups are the fields."),
        "time" => described(reference("time"), "Event time: when it happened."),
        "arrival" => described(
            reference("time"),
            "When the collector recorded it; without, the event time counts.",
        ),
        "subject" => described(reference("text"), "The entity."),
        "source" => described(reference("text"), "Who says it."),
        "type" => described(reference("text"), "What kind of record it is."),
        "sequence" => described(reference("text"), "Orders the records of one event time."),
        "id" => described(
            reference("text"),
            "What tells records apart; without, equal records are the same record.",
        ),
        other => unreachable!("the schema says nothing of the field {other}"),
    });
    source["if"] = json!({ "properties": { "format": { "const": "cloudevents" } } });
    // Every attribute of a CloudEvent has its place already.
    source["then"] = json!({ "propertyNames": { "enum": ["format", "skew"] } });
    // Those of a document have theirs, unless they are given another.
    let documents = source::DOCUMENTS.map(|(name, _)| name);
    source["else"] = json!({
        "if": { "properties": { "format": { "enum": documents } } },
        "else": { "required": ["time", "subject", "source", "type"] },
    });
    let only = source::OPTIONS.map(|(option, format)| {
        let of_it = json!({ "properties": { "format": { "const": format } } });
        json!({ "if": { "required": [option] }, "then": of_it })
    });
    let pattern = json!({
        "if": { "properties": { "format": { "const": "regex" } } },
        "then": { "required": ["pattern"] },
    });
    source["allOf"] = only.into_iter().chain([pattern]).collect();
    source
}

fn time() -> Value {
    let units = source::UNITS.map(|(name, _)| name);
    let mut time = object(&source::TIME_FIELDS, &["field"], |field| match field {
        "field" => path(),
        "unit" => described(json!({ "enum": units }), "How it is written: since 1970, or as text."),
        "format" => json!({
            "description": "How it is written otherwise, as %d/%b/%Y:%H:%M:%S %z.",
            "type": "string",
        }),
        "zone" => json!({
            "description": "The offset of times whose format has none, as +02:00; without, UTC.",
            "type": "string", "pattern": "^[+-]([01][0-9]|2[0-3]):[0-5][0-9]$",
        }),
        other => unreachable!("the schema says nothing of the field {other}"),
    });
    time["if"] = json!({ "required": ["unit"] });
    time["then"] = json!({ "maxProperties": 2 });
    time["else"] = json!({ "required": ["format"] });
    time
}

fn text() -> Value {
    let mut text = object(&source::TEXT_KINDS, &[], |field| match field {
        "field" => path(),
        "const" => described(scalar(), "The same for every record."),
        "template" => {
            described(json!({ "type": "string" }), "Put together, as \"{namespace}/{pod}\".")
        }
        other => unreachable!("the schema says nothing of the field {other}"),
    });
    text["minProperties"] = json!(1);
    text["maxProperties"] = json!(1);
    text
}

fn signal() -> Value {
    let mut signal = object(&read::SIGNAL_FIELDS, &[], |field| match field {
        "from" => described(reference("name"), "The only source it observes; without, all."),
        "where" => described(reference("condition"), "Which records are of the signal."),
        "schema" => {
            let mut schema =
                object(&read::SCHEMA_FIELDS, &read::SCHEMA_FIELDS, |field| match field {
                    "name" => reference("name"),
                    "version" => version("A semantic version, as 1.2.0."),
                    other => unreachable!("the schema says nothing of the field {other}"),
                });
            schema["description"] = json!("What the states are called elsewhere, and its version.");
            schema
        }
        "labels" => json!({
            "description": "What is carried of a record to its episodes.",
            "type": "object", "propertyNames": label_name(),
            "additionalProperties": reference("expression"),
        }),
        "value" => described(
            reference("expression"),
            "The reading of a record, a number; without states, what rules ask of it makes these.",
        ),
        "states" => json!({
            "description": "Conditions by state; the first that holds is the state.",
            "type": "object", "minProperties": 1,
            "propertyNames": reference("key"), "additionalProperties": reference("condition"),
        }),
        "keep_transitions" => described(
            json!({ "enum": [true, false, "true", "false"] }),
            "Whether each change of state is told, and not counted only.",
        ),
        other => unreachable!("the schema says nothing of the field {other}"),
    });
    signal["anyOf"] = json!([{ "required": ["states"] }, { "required": ["value"] }]);
    signal
}

fn rule() -> Value {
    object(&read::RULE_FIELDS, &["name", "signal"], |field| match field {
        "name" => described(reference("name"), "Its name, which no other rule has."),
        "version" => version("Its version, as 1.2.0, which its episodes say."),
        "mode" => described(
            json!({ "enum": read::MODES }),
            "Whether somebody is told of what it finds; deliver if not given.",
        ),
        "canary" => described(
            object(&read::CANARY_FIELDS, &["share", "base"], |field| match field {
                "share" => json!({
                    "description": "How much it sees, as 10%.",
                    "type": "string", "pattern": "^[0-9.]+ *%$",
                }),
                "by" => described(scalar(), "What is seen as one: a label, or entity."),
                "base" => json!({
                    "description": "The rule that sees the others, as RULE@1.2.0.",
                    "type": "string", "pattern": "^.+@.+$",
                }),
                other => unreachable!("the schema says nothing of the field {other}"),
            }),
            "It sees a share of what there is, and another rule the rest.",
        ),
        "limit" => described(
            object(&read::LIMIT_FIELDS, &[], |field| match field {
                "burst" => described(count(), "How many are told at once; 25 if not given."),
                "every" => duration("For each such time another one; 5m if not given."),
                "by" => described(scalar(), "What is limited as one: a label, or entity."),
                other => unreachable!("the schema says nothing of the field {other}"),
            }),
            "How many of its episodes are told as opened: the others wait.",
        ),
        "aggregate" => described(
            object(&read::AGGREGATE_FIELDS, &[], |field| match field {
                "by" => json!({
                    "description": "The labels that similar ones agree in; none if not given.",
                    "type": "array", "items": scalar(),
                }),
                "from" => described(count(), "From how many entities on; 10 if not given."),
                "within" => duration("Within which time; 10m if not given."),
                other => unreachable!("the schema says nothing of the field {other}"),
            }),
            "Similar episodes of so many entities within a time are told as one.",
        ),
        "persistence" => persistence::persistence(),
        "signal" => described(reference("name"), "The signal it observes."),
        "hold" => json!({
            "description": "How long each state must last to count; at once if not given.",
            "type": "object", "additionalProperties": reference("duration"),
        }),
        "absent" => described(
            object(&read::ABSENT_FIELDS, &read::ABSENT_FIELDS, |field| match field {
                "after" => reference("duration"),
                other => unreachable!("the schema says nothing of the field {other}"),
            }),
            "Without observations for so long an entity is unknown, a state with its own hold.",
        ),
        "above" | "below" => described(
            number(),
            "Beyond it a reading makes this state, of a signal without states; otherwise normal.",
        ),
        "recover" => {
            let by = object(&read::RECOVER_FIELDS, &[], |_| number());
            json!({
                "description": "The number at which it is normal again; the threshold if not given.",
                "anyOf": [number(), by],
            })
        }
        "smooth" => {
            let mut smooth = object(&read::SMOOTH_FIELDS, &[], |field| match field {
                "half_life" => duration("Their mean, of which what was halves within this time."),
                "median" => duration("The median of those of this time."),
                "rate" => duration("How fast a counter grew in this time, a second."),
                other => unreachable!("the schema says nothing of the field {other}"),
            });
            smooth["minProperties"] = json!(1);
            smooth["maxProperties"] = json!(1);
            described(smooth, "What is made of readings before they are judged.")
        }
        "flap_damping" => {
            described(stages::flap_damping(), "What changes too often is withheld (RFC 2439).")
        }
        "flap_detection" => described(
            object(&read::DETECTION_FIELDS, &[], |field| match field {
                "weights" => described(
                    json!({ "enum": read::WEIGHTS.map(|(name, _)| name) }),
                    "Whose weights of changes, and thresholds; icinga if not given.",
                ),
                "high" | "low" => described(number(), "A share of changes in percent."),
                other => unreachable!("the schema says nothing of the field {other}"),
            }),
            "What changes too often in 21 observations is flapping, a state with its own hold.",
        ),
        "faults" => json!({
            "description": "Which states are faults, to quorum, flap_damping, grace and persistence.",
            "type": "array", "minItems": 1, "items": scalar(),
        }),
        "quorum" => {
            described(stages::quorum(), "A fault counts while enough witnesses agree on it.")
        }
        "session" => described(
            object(&read::SESSION_FIELDS, &["gap"], |field| match field {
                "gap" => duration("So long after its last change a session is over."),
                "least" => described(count(), "It takes so many changes; 2 if not given."),
                other => unreachable!("the schema says nothing of the field {other}"),
            }),
            "Changes that are closer to one another are a session, a state with its own hold.",
        ),
        "grace" => json!({
            "description": "For so long after an entity was first seen, or marked, its faults wait.",
            "anyOf": [reference("duration"), stages::grace()],
        }),
        "keep" => json!({
            "description": "How long each state lasts at least after it was first missed; not at \
                            all if not given.",
            "type": "object", "additionalProperties": reference("duration"),
        }),
        "where" => described(reference("condition"), "What must hold of labels.NAME."),
        "except" => described(
            reference("condition"),
            "What counts at once, whatever else would hold it: over the record and labels.NAME.",
        ),
        "dedup" => {
            let mut dedup = object(&read::DEDUP_FIELDS, &read::DEDUP_FIELDS, |field| match field {
                "by" => json!({
                    "type": "array", "minItems": 1, "items": reference("expression"),
                }),
                "within" => reference("duration"),
                other => unreachable!("the schema says nothing of the field {other}"),
            });
            dedup["description"] = json!(
                "Of observations of one state that are equal in these values within a time, the \
                 first counts."
            );
            dedup
        }
        "amend_within" => {
            duration("How late a record may be to amend episodes; the lateness if not given.")
        }
        "expire_after" => duration("As that of the file, for this rule."),
        "labels" => described(reference("texts"), "Labels of all its episodes."),
        "annotations" => described(reference("texts"), "Texts of all its episodes."),
        other => unreachable!("the schema says nothing of the field {other}"),
    })
}

fn version(description: &str) -> Value {
    json!({
        "description": description, "type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+",
    })
}

fn sink() -> Value {
    let kind = |known: &[&str]| {
        object(known, &["url"], |field| match field {
            "url" => json!({
                "description": "Where it is; or the variable or file that says so: { env: NAME }.",
                "anyOf": [
                    { "type": "string", "pattern": "^https?://[!-.0-~]" }, reference("elsewhere"),
                ],
            }),
            "headers" => json!({
                "description": "What is sent along with every request.",
                "type": "object", "additionalProperties": reference("setting"),
                "propertyNames": { "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" },
            }),
            "timeout" => duration("An attempt that takes longer has failed; 10s if not given."),
            "resolve_after" => duration(
                "An alert that nothing resolves for so long resolves itself; 30d if not given.",
            ),
            other => unreachable!("the schema says nothing of the field {other}"),
        })
    };
    let mut sink = object(&read::SINK_KINDS, &[], |field| match field {
        "webhook" => described(
            kind(&read::WEBHOOK_FIELDS),
            "Takes each notification as a CloudEvent, by POST.",
        ),
        "alertmanager" => described(
            kind(&read::ALERTMANAGER_FIELDS),
            "Prometheus' Alertmanager; /api/v2/alerts is put behind its URL.",
        ),
        other => unreachable!("the schema says nothing of the field {other}"),
    });
    sink["minProperties"] = json!(1);
    sink["maxProperties"] = json!(1);
    sink
}

fn elsewhere() -> Value {
    let mut elsewhere = object(&read::SETTING_KINDS, &[], |field| match field {
        "env" => described(reference("name"), "A variable of the environment."),
        "file" => described(scalar(), "A file."),
        other => unreachable!("the schema says nothing of the field {other}"),
    });
    elsewhere["minProperties"] = json!(1);
    elsewhere["maxProperties"] = json!(1);
    elsewhere
}

fn route() -> Value {
    object(&read::ROUTE_FIELDS, &["to"], |field| match field {
        "match" => reference("matchers"),
        "on" => json!({
            "description": "Which kinds of notifications; all if not given.",
            "type": "array", "minItems": 1,
            "items": { "enum": Kind::NAMES.map(|(name, _)| name) },
        }),
        "to" => described(reference("name"), "The sink."),
        other => unreachable!("the schema says nothing of the field {other}"),
    })
}

fn matchers() -> Value {
    json!({
        "description": "All must hold, as severity = \"page\" or state =~ \"down|degraded\"; over \
                        rule, signal, state, entity and labels.",
        "type": "array",
        "items": { "type": "string", "pattern": "^\\s*[a-zA-Z_][a-zA-Z0-9_]*\\s*(=|!=|!~)" },
    })
}

/// A mapping with the fields that the parser knows, and no others.
fn object(known: &[&str], required: &[&str], field: impl Fn(&str) -> Value) -> Value {
    let properties: Map<_, _> = known.iter().map(|name| (name.to_string(), field(name))).collect();
    json!({
        "type": "object", "properties": properties,
        "required": required, "additionalProperties": false,
    })
}

/// A mapping from names to definitions of one kind.
fn named(definition: &str, description: &str) -> Value {
    named_by("key", definition, description)
}

fn named_by(name: &str, definition: &str, description: &str) -> Value {
    json!({
        "description": description,
        "type": "object", "minProperties": 1,
        "propertyNames": reference(name), "additionalProperties": reference(definition),
    })
}

fn reference(definition: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{definition}") })
}

fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = json!(description);
    schema
}

fn duration(description: &str) -> Value {
    described(reference("duration"), description)
}

fn path() -> Value {
    described(scalar(), "Where it stands, as a.b; a key with a dot or blank in backticks.")
}

/// What the parser takes for text, whatever another reader of YAML makes of it.
fn scalar() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

fn count() -> Value {
    json!({ "anyOf": [
        { "type": "integer", "minimum": 1 }, { "type": "string", "pattern": "^[0-9]+$" },
    ] })
}

fn number() -> Value {
    json!({ "anyOf": [
        { "type": "number" }, { "type": "string", "pattern": "^[0-9.eE+-]+$" },
    ] })
}

fn label_name() -> Value {
    json!({ "pattern": "^(_|_?[a-zA-Z][a-zA-Z0-9_]*|_[0-9][a-zA-Z0-9_]*)$", "maxLength": NAME_BYTES_MAX })
}

fn duration_pattern() -> String {
    let units = duration::UNITS.iter().map(|(unit, _)| format!("([0-9]+{unit})?"));
    format!("^(0|{})$", units.collect::<String>())
}

#[cfg(test)]
pub(crate) mod tests;
