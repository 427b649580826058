//! A filter in a scope, as conditions that all hold.

use super::nodes::Node;
use crate::organizations::CellMask;
use crate::rows::SealedRows;
use domain::session::{Filter, ListScope};
use domain::time::Micros;

/// Conditions that all hold for the rows of a list.
pub(super) struct Conditions<'a> {
    pub(super) rows: &'a SealedRows,
    /// The first selects rows, and the others restrict them.
    pub(super) all: Vec<Node<'a>>,
    /// The cells that the rows are in.
    pub(super) mask: CellMask,
    /// Whether the rows are all of these cells: of one organization, or of all of them.
    pub(super) is_whole: bool,
    /// Whether the rows of deleted organizations are left out.
    pub(super) without_deleted: bool,
}

impl<'a> Conditions<'a> {
    /// The conditions of a filter in a scope, at `now`.
    pub(super) fn new(
        rows: &'a SealedRows,
        scope: &ListScope,
        filter: &Filter,
        now: Micros,
    ) -> Conditions<'a> {
        let (mask, nodes) = compile_conditions(rows, filter, now);
        let organizations = &rows.organizations;
        let cells =
            |id| organizations.get(id).into_iter().flat_map(move |organization| organization.rows(mask));
        let mut without_deleted = false;
        let mut all = match scope {
            ListScope::Organization(id) => vec![Node::unite_postings(cells(*id))],
            ListScope::Account { organizations: Some(some), deleted } => {
                let some = some.iter().filter(|id| *deleted || !organizations.is_deleted(**id));
                vec![Node::unite_postings(some.flat_map(|id| cells(*id)))]
            }
            ListScope::Account { organizations: None, deleted } => {
                without_deleted = !deleted;
                let mut all = vec![Node::select_cells(rows, mask)];
                if without_deleted && !rows.deleted.is_empty() {
                    let deleted = Node::unite_postings(std::iter::once(&rows.deleted));
                    all.push(Node::Not(Box::new(deleted)));
                }
                all
            }
        };
        let of_one_or_all = !matches!(scope, ListScope::Account { organizations: Some(_), .. });
        let is_whole = nodes.is_empty() && of_one_or_all;
        all.extend(nodes);
        all.retain(|node| !matches!(node, Node::Every));
        all.sort_by_key(Node::cost);
        if !matches!(all.first(), Some(Node::Sets { .. })) {
            all.insert(0, Node::Every);
        }
        Conditions { rows, all, mask, is_whole, without_deleted }
    }
}

/// The cells that a filter leaves, and its other conditions, which all hold.
pub(super) fn compile_conditions<'a>(
    rows: &'a SealedRows,
    filter: &Filter,
    now: Micros,
) -> (CellMask, Vec<Node<'a>>) {
    let mut simple = Vec::new();
    flatten(filter, &mut simple);
    let mask = take_cells(&mut simple);
    (mask, simple.into_iter().map(|filter| Node::compile_filter(rows, filter, now)).collect())
}

/// The filters that all must match.
fn flatten<'f>(filter: &'f Filter, into: &mut Vec<&'f Filter>) {
    match filter {
        Filter::And(all) => all.iter().for_each(|filter| flatten(filter, into)),
        filter => into.push(filter),
    }
}

/// Takes the conditions on kind and archived sessions out of a list of filters that all must match.
fn take_cells(filters: &mut Vec<&Filter>) -> CellMask {
    let mut mask = CellMask::ALL;
    filters.retain(|filter| match CellMask::read_filter(filter) {
        Some(cells) => {
            mask = mask.and(cells);
            false
        }
        None => true,
    });
    mask
}
