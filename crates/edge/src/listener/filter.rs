//! Topic filters (MQTT 4.7): which are valid, which topics they match, and which filters they cover.

/// Levels of a topic filter, or of a topic that is published.
pub const LEVELS_MAX: usize = 64;

/// Whether a text is a topic filter of at most [`LEVELS_MAX`] levels [MQTT-4.7.1-1, -2, -3].
pub fn is_filter(text: &str) -> bool {
    if text.is_empty() || text.contains('\0') || text.split('/').count() > LEVELS_MAX {
        return false;
    }
    let last = text.split('/').count() - 1;
    text.split('/').enumerate().all(|(at, level)| match level {
        "#" => at == last,
        "+" => true,
        level => !level.contains(['#', '+']),
    })
}

/// Whether a topic belongs to a filter. A topic that begins with `$` belongs to none that begins with a wildcard
/// [MQTT-4.7.2-1].
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (text, Some(level)) if text == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Whether every topic of `inner` belongs to `outer`.
pub fn covers(outer: &str, inner: &str) -> bool {
    if inner.starts_with('$') && outer.starts_with(['+', '#']) {
        return false;
    }
    let (mut outer, mut inner) = (outer.split('/').peekable(), inner.split('/').peekable());
    loop {
        match (outer.next(), inner.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(text), Some(level)) if text == level && level != "#" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn filters_are_told_from_other_texts() {
        for good in ["#", "+", "a", "/", "a/#", "+/a/+", "/a", "a//b", "$SYS/#", " "] {
            assert!(is_filter(good), "{good}");
        }
        for wrong in ["", "a#", "#/a", "a/#/b", "a+", "+a/b", "a\0b", &"a/".repeat(64)] {
            assert!(!is_filter(wrong), "{wrong}");
        }
    }

    #[test]
    fn examples_of_the_standard_match_as_it_says() {
        // 4.7.1.2 and 4.7.1.3
        for (filter, topic, does) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/x", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("ACCOUNTS", "Accounts", false),
        ] {
            assert_eq!(matches(filter, topic), does, "{filter} {topic}");
        }
    }

    fn level() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["a", "b", "", "$c"]).prop_map(str::to_owned)
    }

    fn wild() -> impl Strategy<Value = String> {
        let levels = prop::collection::vec(prop::sample::select(vec!["a", "b", "", "+", "$c"]), 1..4);
        (levels, any::<bool>()).prop_map(|(levels, open)| {
            let text = levels.join("/");
            if open { format!("{text}/#") } else { text }
        })
    }

    proptest! {
        #[test]
        fn what_is_covered_matches_no_more(
            outer in wild(), inner in wild(), topic in prop::collection::vec(level(), 1..5),
        ) {
            let topic = topic.join("/");
            if covers(&outer, &inner) && matches(&inner, &topic) {
                prop_assert!(matches(&outer, &topic), "{outer} {inner} {topic}");
            }
        }
    }
}
