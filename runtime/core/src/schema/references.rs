//! References: what they may say, and that following them ends.

use super::keyword::{Id, Keyword, Node, Tree};
use crate::json::unescape;

/// How many subschemas may apply to one value in a row, each through the one before.
const LONGEST_CHAIN: usize = 64;

/// The NAME of `#/$defs/NAME`.
pub(super) fn parse_reference(text: &str) -> Option<String> {
    let name = text.strip_prefix("#/$defs/")?;
    // A percent sign would be an escape of the URI, a slash a place inside of a definition.
    if name.contains(['/', '%']) { None } else { unescape(name) }
}

/// A subschema from which references lead back to it, or through too many others, without a step into the
/// value. Without such, a check ends: every cycle goes through a smaller value.
pub(super) fn find_endless(tree: &Tree) -> Option<Id> {
    let mut heights = vec![Height::Unknown; tree.nodes.len()];
    (0..tree.nodes.len()).find(|id| height(tree, *id, 1, &mut heights).is_none())
}

#[derive(Clone, Copy)]
enum Height {
    Unknown,
    /// Being measured: meeting it again closes a circle.
    Open,
    Known(usize),
}

/// How many subschemas apply in a row from this one on; none when there is no end, or too late.
fn height(tree: &Tree, id: Id, above: usize, heights: &mut [Height]) -> Option<usize> {
    if above > LONGEST_CHAIN {
        return None;
    }
    match heights.get(id)? {
        Height::Open => return None,
        Height::Known(height) => return (above + height - 1 <= LONGEST_CHAIN).then_some(*height),
        Height::Unknown => {}
    }
    set(heights, id, Height::Open);
    let mut below = 0;
    if let Some(Node::All(keywords)) = tree.nodes.get(id) {
        for next in keywords.iter().flat_map(applied_in_place) {
            below = below.max(height(tree, next, above + 1, heights)?);
        }
    }
    set(heights, id, Height::Known(below + 1));
    Some(below + 1)
}

fn set(heights: &mut [Height], id: Id, height: Height) {
    if let Some(place) = heights.get_mut(id) {
        *place = height;
    }
}

/// The subschemas that a keyword applies to the same value.
fn applied_in_place(keyword: &Keyword) -> Vec<Id> {
    match keyword {
        Keyword::Ref(id) | Keyword::Not(id) => vec![*id],
        Keyword::AllOf(ids) | Keyword::AnyOf(ids) | Keyword::OneOf(ids) => ids.clone(),
        Keyword::If { condition, then, otherwise } => {
            [Some(*condition), *then, *otherwise].into_iter().flatten().collect()
        }
        _ => Vec::new(),
    }
}
