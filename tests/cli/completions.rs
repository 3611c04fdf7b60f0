//! Scripts that complete the command line.

use super::Place;

#[test]
fn every_shell_completes_every_command() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = place.run(&format!("completions {shell}"));
        ran.assert(0, &[]);
        for word in ["replay", "check", "completions", "until"] {
            assert!(ran.said.contains(word), "{shell} does not know {word}");
        }
    }
    place.run("completions csh").assert(2, &["csh", "bash"]);
}
