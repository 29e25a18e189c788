//! "did you mean": the known name nearest to an unknown one.

/// The name of `known` that `unknown` was probably meant to be, if any is close.
///
/// Close is: the same but for case and separators (`on-demand`, `onDemand`), another relay's name that ends in ours
/// (MediaMTX's `rtspTransport`, `sourceOnDemand`), or a typing mistake or two.
pub(super) fn nearest<'k>(unknown: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let unknown = plain(unknown);
    known
        .filter_map(|name| {
            let candidate = plain(name);
            let distance = edits(&unknown, &candidate);
            let mistakes = 1 + candidate.len() / 6;
            let ends_in_ours = candidate.len() >= 6 && unknown.ends_with(&candidate);
            let far = if ends_in_ours { distance.min(mistakes) } else { distance };
            (far <= mistakes && far < candidate.len()).then_some((far, distance, name))
        })
        .min()
        .map(|(_, _, name)| name)
}

/// Letters and digits only, in lower case, as bytes. Long keys are cut: no known one is near them.
fn plain(name: &str) -> Vec<u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase()).take(64).collect()
}

/// How many letters have to be inserted, removed, replaced or swapped with their neighbour (optimal string alignment).
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = above[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 6] =
        ["source", "on_demand", "on_demand_close_after", "transport", "file", "read_timeout"];

    #[test]
    fn typing_mistakes_and_other_spellings_are_recognised() {
        for (unknown, meant) in [
            ("trasnport", "transport"),
            ("sorce", "source"),
            ("onDemand", "on_demand"),
            ("on-demand", "on_demand"),
            ("sourceOnDemand", "on_demand"),
            ("sourceOnDemandCloseAfter", "on_demand_close_after"),
            ("rtspTransport", "transport"),
            ("readTimeout", "read_timeout"),
        ] {
            assert_eq!(nearest(unknown, KNOWN.into_iter()), Some(meant), "{unknown}");
        }
    }

    #[test]
    fn nothing_is_suggested_for_what_is_far_from_everything() {
        for unknown in ["", "x", "record", "hls", "ффф", "timeout"] {
            assert_eq!(nearest(unknown, KNOWN.into_iter()), None, "{unknown}");
        }
    }
}
