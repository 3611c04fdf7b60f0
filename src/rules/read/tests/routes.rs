//! Sinks and routes.

use expect_test::expect;

use super::{GOOD, errors};
use crate::rules::{Rules, Setting, SinkKind};

/// Sinks and routes behind the rules of [`GOOD`].
fn with_routes(text: &str) -> String {
    format!("{GOOD}{text}")
}

#[test]
fn sinks_and_routes_are_read() {
    let text = with_routes(
        r#"sinks:
  hook:
    webhook:
      url: { file: /run/url }
      headers: { Authorization: { env: TOKEN }, X-Team: "a b" }
      timeout: 3s
  alerts: { alertmanager: { url: "http://[::1]:9093/am", resolve_after: 7d } }
routes:
  - { match: [rule = r, tier != small, 'zone =~ "a|b"', severity = page], on: [closed], to: hook }
  - to: alerts
"#,
    );
    let rules = Rules::parse("rules.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    let [hook, alerts] = &rules.sinks[..] else { panic!("two sinks") };
    assert_eq!(
        (&*hook.name, hook.kind, hook.timeout_ns),
        ("hook", SinkKind::Webhook, 3_000_000_000)
    );
    assert_eq!(hook.url, Setting::File("/run/url".into()));
    assert_eq!(
        hook.headers,
        [
            ("Authorization".into(), Setting::Env("TOKEN".into())),
            ("X-Team".into(), Setting::Text("a b".to_owned()))
        ]
    );
    let resolve_after_ns = 7 * 86_400_000_000_000;
    assert_eq!(alerts.kind, SinkKind::Alertmanager { resolve_after_ns });
    assert_eq!(alerts.timeout_ns, 10_000_000_000);
    let shown: Vec<_> = rules.routes[0].matchers.iter().map(ToString::to_string).collect();
    assert_eq!(shown, [r#"rule="r""#, r#"tier!="small""#, r#"zone=~"a|b""#, r#"severity="page""#]);
    assert_eq!((rules.routes[0].on, rules.routes[0].to), ([false, true, false], 0));
    assert_eq!((rules.routes[1].on, rules.routes[1].to), ([true; 3], 1));
    let shown = format!("{rules:?}");
    assert!(!shown.contains("a b\"") && !shown.contains("[::1]"), "settings are not shown");
}

#[test]
fn what_sinks_and_routes_cannot_say_is_pointed_at() {
    let text = with_routes(
        r#"sinks:
  a/b: { webhook: { url: http://h } }
  both: { webhook: { url: http://h }, alertmanager: { url: http://h } }
  hook:
    webhook:
      url: https://user:secret@h/
      headers: { Host: h, "a b": c, X-A: "ä", x-a: { env: A, file: B } }
      timeout: 0s
      resolve_after: 1d
  alerts: { alertmanager: { url: 127.0.0.1:9093 } }
routes:
  - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
  - { on: [open], too: hook }
  - { on: [], to: hook }
"#,
    );
    errors(
        &text,
        &expect![[r#"
            error: `a/b` cannot be the name of a sink
              --> rules.yaml:24:3
               |
            24 |   a/b: { webhook: { url: http://h } }
               |   ^^^
               |
               = help: letters, digits, _ and -

            error: a sink is either a `webhook` or an `alertmanager`
              --> rules.yaml:25:3
               |
            25 |   both: { webhook: { url: http://h }, alertmanager: { url: http://h } }
               |   ^^^^
               |
               = help: add `webhook: { url: https://... }`

            error: the URL has credentials in it
              --> rules.yaml:28:12
               |
            28 |       url: https://user:secret@h/
               |            ^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: send them in a header

            error: the header `Host` is set by limbeck
              --> rules.yaml:29:18
               |
            29 |       headers: { Host: h, "a b": c, X-A: "ä", x-a: { env: A, file: B } }
               |                  ^^^^
               |
               = help: remove it; add others

            error: `a b` cannot be the name of a header
              --> rules.yaml:29:27
               |
            29 |       headers: { Host: h, "a b": c, X-A: "ä", x-a: { env: A, file: B } }
               |                           ^^^^^
               |
               = help: letters, digits and -

            error: the value of `X-A` cannot be sent in a header
              --> rules.yaml:29:42
               |
            29 |       headers: { Host: h, "a b": c, X-A: "ä", x-a: { env: A, file: B } }
               |                                          ^^^
               |
               = help: letters of ASCII, on one line

            error: the header `x-a` is repeated
              --> rules.yaml:29:47
               |
            29 |       headers: { Host: h, "a b": c, X-A: "ä", x-a: { env: A, file: B } }
               |                                               ^^^
               |
               = help: keep one of the two

            error: `timeout` must be above zero
              --> rules.yaml:30:16
               |
            30 |       timeout: 0s
               |                ^^

            error: `webhook` has no field `resolve_after`
              --> rules.yaml:31:7
               |
            31 |       resolve_after: 1d
               |       ^^^^^^^^^^^^^
               |
               = help: known: `url`, `headers`, `timeout`

            error: `127.0.0.1:9093` is not a URL
              --> rules.yaml:32:34
               |
            32 |   alerts: { alertmanager: { url: 127.0.0.1:9093 } }
               |                                  ^^^^^^^^^^^^^^
               |
               = help: write https://HOST/PATH, or http://

            error: there is no label `zon`, of any signal or rule
              --> rules.yaml:34:15
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |               ^^^^^^^
               |
               = help: did you mean `zone`?

            error: unknown state `dwn`
              --> rules.yaml:34:24
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |                        ^^^^^^^^^^^
               |
               = help: did you mean `down`?

            error: unknown rule `x`
              --> rules.yaml:34:37
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |                                     ^^^^^^^^
               |
               = help: known: `plain`, `r`

            error: unknown signal `y`
              --> rules.yaml:34:47
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |                                               ^^^^^^^^^^
               |
               = help: the only signal is `health`

            error: `zone` is not a matcher
              --> rules.yaml:34:59
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |                                                           ^^^^^^
               |
               = help: write NAME = "VALUE", or !=, =~, !~

            error: not a valid pattern: unclosed group
              --> rules.yaml:34:76
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |                                                                            ^^^
               |
               = help: a regular expression for the whole text, as a|b or web-.*

            error: unknown sink `hok`
              --> rules.yaml:34:87
               |
            34 |   - { match: [zon = a, state = dwn, rule = x, signal = y, "zone", 'zone =~ "("'], to: hok }
               |                                                                                       ^^^
               |
               = help: did you mean `hook`?

            error: a route needs `to`
              --> rules.yaml:35:5
               |
            35 |   - { on: [open], too: hook }
               |     ^^^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: add `to: SINK`

            error: unknown kind `open`
              --> rules.yaml:35:12
               |
            35 |   - { on: [open], too: hook }
               |            ^^^^
               |
               = help: did you mean `opened`?

            error: a route has no field `too`
              --> rules.yaml:35:19
               |
            35 |   - { on: [open], too: hook }
               |                   ^^^
               |
               = help: did you mean `to`?

            error: `on` needs at least one kind
              --> rules.yaml:36:11
               |
            36 |   - { on: [], to: hook }
               |           ^^
               |
               = help: leave it out for all of them, or write [opened, closed, correction]

            21 errors
        "#]],
    );
}
