//! What helps to write: scripts that complete the command line, the schema of rule files.

use super::Place;

#[test]
fn every_shell_completes_every_command() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = place.run(&format!("completions {shell}"));
        ran.assert(0, &[]);
        for word in ["replay", "schema", "init", "check", "completions", "until"] {
            assert!(ran.said.contains(word), "{shell} does not know {word}");
        }
    }
    place.run("completions csh").assert(2, &["csh", "bash"]);
}

#[test]
fn the_schema_is_printed() {
    let place = Place::new();
    let ran = place.run("schema");
    ran.assert(0, &[]);
    let schema: serde_json::Value = serde_json::from_str(&ran.said).expect("it is JSON");
    assert_eq!(schema, limbeck::rules::schema());
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}
