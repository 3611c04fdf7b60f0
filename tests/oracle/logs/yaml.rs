//! A rule file, as it is written.

use super::*;

pub(super) fn yaml(spec: &Spec, random: &mut Random) -> String {
    let mut yaml = format!("version: 1\nlateness: {}\n", duration(spec.lateness_ns));
    if spec.max_advance_ns != 30 * DAY || random.chance(50) {
        yaml.push_str(&format!("max_advance: {}\n", duration(spec.max_advance_ns)));
    }
    if spec.expire_after_ns != 7 * DAY || random.chance(50) {
        yaml.push_str(&format!("expire_after: {}\n", duration(spec.expire_after_ns)));
    }
    if spec.corrects {
        yaml.push_str("sources: { cloudevents: { format: cloudevents, skew: correct } }\n");
    }
    yaml.push_str("\nsignals:\n");
    for (name, kinds, member, states) in &SHAPES {
        let [a, b] = kinds;
        yaml.push_str(&format!("  {name}:\n    where: type == \"{a}\" || type == \"{b}\"\n"));
        if spec.labelled {
            yaml.push_str("    labels: { by: source }\n");
        }
        yaml.push_str("    states:\n");
        for (state, spellings) in *states {
            yaml.push_str(&format!("      {state}: data.{member} in {spellings:?}\n"));
        }
    }
    if spec.signals.len() > SHAPES.len() {
        yaml.push_str(readings::YAML);
        if spec.labelled {
            yaml.push_str("    labels: { by: source }\n");
        }
    }
    yaml.push_str("\nrules:\n");
    for rule in &spec.rules {
        let states = &spec.signals[rule.signal].states;
        let holds: Vec<_> = (states.iter().zip(&rule.hold_ns).enumerate())
            // No hold is a hold of 0; one is written in any case.
            .filter(|(index, (_, hold))| *index == 0 || **hold != 0 || random.chance(50))
            .map(|(_, (state, hold))| format!("{state}: {}", duration(*hold)))
            .collect();
        let made = rule.stages.hold_made_ns;
        let bounds = rule.stages.thresholds.map(|of| (of.above.is_some(), of.below.is_some()));
        let made = [
            ("flapping", rule.stages.detection.is_some()),
            ("unknown", rule.stages.absent_after_ns.is_some()),
            ("above", bounds.is_some_and(|(above, _)| above)),
            ("below", bounds.is_some_and(|(_, below)| below)),
            ("normal", bounds.is_some()),
            ("session", rule.stages.session.is_some()),
        ]
        .into_iter()
        .filter(|(_, is_made)| *is_made)
        .map(|(name, _)| format!("{name}: {}", duration(made)));
        let holds: Vec<_> = holds.into_iter().chain(made).collect();
        let signal = &spec.signals[rule.signal].name;
        yaml.push_str(&format!("  - name: {}\n    signal: {signal}\n", rule.name));
        yaml.push_str(&format!("    hold: {{ {} }}\n", holds.join(", ")));
        let keeps = states.iter().zip(&rule.keep_ns).filter(|(_, keep)| **keep > 0);
        let keeps: Vec<_> =
            keeps.map(|(state, keep)| format!("{state}: {}", duration(*keep))).collect();
        if !keeps.is_empty() {
            yaml.push_str(&format!("    keep: {{ {} }}\n", keeps.join(", ")));
        }
        push_stages(&mut yaml, rule, states);
        if let Some(persistence) = &rule.persistence {
            yaml.push_str(&persistence.yaml());
        }
        if rule.except {
            yaml.push_str(&format!("    except: data.load == {EXCEPT:?}\n"));
        }
        if let Some(source) = &rule.source {
            yaml.push_str(&format!("    where: labels.by == {source:?}\n"));
        }
        if let Some(within) = rule.dedup_ns {
            yaml.push_str(&format!(
                "    dedup: {{ by: [source], within: {} }}\n",
                duration(within)
            ));
        }
        if let Some(within) = rule.amend_within_ns {
            yaml.push_str(&format!("    amend_within: {}\n", duration(within)));
        }
        if let Some(after) = rule.expire_after_ns {
            yaml.push_str(&format!("    expire_after: {}\n", duration(after)));
        }
    }
    yaml
}

fn push_stages(yaml: &mut String, rule: &RuleSpec, states: &[String]) {
    let Stages {
        faults,
        absent_after_ns,
        thresholds,
        quorum,
        damping,
        detection,
        grace,
        session,
        ..
    } = &rule.stages;
    let learns = rule.persistence.is_some();
    if quorum.is_some() || damping.is_some() || grace.is_some() || learns {
        let faults: Vec<_> = faults.iter().map(|fault| name(states, *fault)).collect();
        yaml.push_str(&format!("    faults: [{}]\n", faults.join(", ")));
    }
    if let Some(thresholds) = thresholds {
        yaml.push_str(&thresholds.yaml(duration));
    }
    if let Some(quorum) = quorum {
        yaml.push_str(&quorum.yaml(duration));
    }
    if let Some(after) = absent_after_ns {
        yaml.push_str(&format!("    absent: {{ after: {} }}\n", duration(*after)));
    }
    if let Some(damping) = damping {
        let Damping { fault, back, change, suppress, reuse, half_life_ns, max_ns, test } = damping;
        yaml.push_str(&format!(
            "    flap_damping: {{ fault: {fault}, return: {back}, change: {change}, suppress: \
             {suppress}, reuse: {reuse}, half_life: {}, max: {}, test: {test} }}\n",
            duration(*half_life_ns),
            duration(*max_ns)
        ));
    }
    if let Some(Detection { nagios, high, low }) = detection {
        let weights = if *nagios { "nagios" } else { "icinga" };
        yaml.push_str(&format!(
            "    flap_detection: {{ weights: {weights}, high: {high}, low: {low} }}\n"
        ));
    }
    if let Some((gap, least)) = session {
        yaml.push_str(&format!("    session: {{ gap: {}, least: {least} }}\n", duration(*gap)));
    }
    if let Some(Grace { for_ns, after_first, markers }) = grace {
        let lasts = duration(*for_ns);
        if markers.is_empty() {
            yaml.push_str(&format!("    grace: {lasts}\n"));
            return;
        }
        let first = after_first.then(|| "first_seen".to_owned()).into_iter();
        let markers = markers.iter().map(|(signal, of)| {
            let (name, .., states) = SHAPES[*signal];
            let of: Vec<_> = of.iter().map(|state| states[*state].0).collect();
            let of = if of.is_empty() { String::new() } else { format!(", states: {of:?}") };
            format!("{{ signal: {name}{of} }}")
        });
        let after: Vec<_> = first.chain(markers).collect();
        yaml.push_str(&format!("    grace: {{ for: {lasts}, after: [{}] }}\n", after.join(", ")));
    }
}

fn duration(nanos: i64) -> String {
    match (nanos % DAY, nanos % S) {
        _ if nanos == 0 => "0s".to_owned(),
        (0, _) => format!("{}d", nanos / DAY),
        (_, 0) => format!("{}s", nanos / S),
        _ => format!("{}ms", nanos / MS),
    }
}
