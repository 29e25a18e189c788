//! `${NAME}` and `${NAME:default}` inside a value.
//!
//! Done on the parsed value, not on the text of the file: a password with `#`, `:` or a line end cannot break the YAML
//! around it. `$${` stands for the characters `${`; any other `$` is itself. What comes from the environment is not
//! looked at again.

/// Looks up an environment variable. A variable that is set but empty counts as set.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Fits a value from the environment into the text around it: `(text before, value, text after)`.
pub(super) type Fit = fn(&str, String, &str) -> String;

/// Whether `text` takes anything from the environment.
pub(super) fn has_placeholder(text: &str) -> bool {
    text.replace("$${", "").contains("${")
}

/// Fills in `text`. Otherwise tells all that is wrong with its placeholders, in words.
pub(super) fn substitute(text: &str, environment: Environment<'_>, fit: Fit) -> Result<String, Vec<String>> {
    let mut filled = String::with_capacity(text.len());
    let mut wrong = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        let (before, placeholder) = rest.split_at(dollar);
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = &placeholder[2..];
            continue;
        }
        filled.push_str(before);
        let Some((inside, after)) = placeholder[2..].split_once('}') else {
            wrong.push("a `${` is not closed by `}`; write `$${` for the characters themselves".to_owned());
            return Err(wrong);
        };
        let (name, default) = match inside.split_once(':') {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if is_name(name) {
            match environment(name).or(default.map(str::to_owned)) {
                Some(value) => filled.push_str(&fit(before, value, after)),
                None => wrong.push(format!(
                    "environment variable {name} is not set, and `${{{name}}}` gives no default (`${{{name}:default}}`)"
                )),
            }
        } else {
            // What stands here may be a piece of a password: it is not shown.
            wrong.push(
                "a `${` is not followed by a variable's name; write `$${` for the characters themselves"
                    .to_owned(),
            );
        }
        rest = after;
    }
    filled.push_str(rest);
    if wrong.is_empty() { Ok(filled) } else { Err(wrong) }
}

fn is_name(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(text: &str) -> Result<String, Vec<String>> {
        let environment = |name: &str| match name {
            "HOST" => Some("10.0.0.7".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${HOST}".to_owned()),
            _ => None,
        };
        substitute(text, &environment, |_, value, _| value)
    }

    #[test]
    fn variables_and_defaults_are_filled_in() {
        assert_eq!(fill("rtsp://${HOST}/${PATH_:main}").unwrap(), "rtsp://10.0.0.7/main");
        assert_eq!(fill("${NONE:0.0.0.0:8554}").unwrap(), "0.0.0.0:8554", "a default may contain colons");
        assert_eq!(fill("${NONE:}").unwrap(), "");
        assert_eq!(fill("${EMPTY:default}").unwrap(), "", "set, though empty");
    }

    #[test]
    fn a_doubled_dollar_escapes_and_a_lone_one_is_itself() {
        assert_eq!(fill("$${HOST} $5 a$").unwrap(), "${HOST} $5 a$");
        assert!(!has_placeholder("$${HOST}") && has_placeholder("$${HOST} ${HOST}"));
    }

    #[test]
    fn a_value_from_the_environment_is_not_filled_in_again() {
        assert_eq!(fill("${TRICK}").unwrap(), "${HOST}");
    }

    #[test]
    fn every_missing_variable_is_told() {
        let wrong = fill("${A}${HOST}${B}").unwrap_err();
        assert_eq!(wrong.len(), 2);
        assert!(wrong[0].contains(" A ") && wrong[1].contains(" B "), "{wrong:?}");
    }

    #[test]
    fn a_broken_placeholder_is_told_without_showing_it() {
        assert!(fill("${HOST").unwrap_err()[0].contains("not closed"));
        for text in ["${}", "${9}", "${s3cret-word}"] {
            let wrong = fill(text).unwrap_err();
            assert!(wrong[0].contains("name") && !wrong[0].contains("s3cret"), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn text_without_a_placeholder_is_left_alone(text in "[^{]*") {
            prop_assert_eq!(fill(&text), Ok(text));
        }

        #[test]
        fn no_text_panics(text in "[$${}:A-B]{0,12}") {
            let _ = fill(&text);
        }
    }
}
