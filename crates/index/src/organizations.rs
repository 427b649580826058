//! The organizations, and the rows of each.

use crate::dictionary::Term;
use crate::posting::Posting;
use domain::ids::OrganizationId;
use domain::session::{FieldValue, Filter, PRESENT, SessionKind, ValueField};
use foldhash::{HashMap, HashMapExt};

/// The cells of an organization. Every list of a wire is about one kind, and most leave archived sessions out, so each
/// of these has a set of rows of its own.
pub(crate) const CELLS: usize = 4;

/// A set of an organization's cells, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CellMask(u8);

impl CellMask {
    pub(crate) const NONE: CellMask = CellMask(0);
    pub(crate) const ALL: CellMask = CellMask(0b1111);
    pub(crate) const ARCHIVED: CellMask = CellMask(0b0100);

    /// The cells of a kind.
    pub(crate) fn with_kind(kind: SessionKind) -> CellMask {
        CellMask(match kind {
            SessionKind::Device => 0b0001,
            SessionKind::Agent => 0b0110,
            SessionKind::Login => 0b1000,
        })
    }

    pub(crate) fn and(self, other: CellMask) -> CellMask {
        CellMask(self.0 & other.0)
    }

    pub(crate) fn or(self, other: CellMask) -> CellMask {
        CellMask(self.0 | other.0)
    }

    pub(crate) fn not(self) -> CellMask {
        CellMask(!self.0 & CellMask::ALL.0)
    }

    /// The cells that a filter selects, if it selects whole cells.
    pub(crate) fn read_filter(filter: &Filter) -> Option<CellMask> {
        match filter {
            Filter::HasAny(ValueField::Kind, kinds) => {
                let kinds = kinds.iter().filter_map(|kind| match kind {
                    FieldValue::Text(name) => SessionKind::parse(name),
                    FieldValue::Id(_) => None,
                });
                Some(kinds.map(CellMask::with_kind).fold(CellMask::NONE, CellMask::or))
            }
            Filter::HasAny(ValueField::Archived, values) => {
                let is_present =
                    |value: &FieldValue| matches!(value, FieldValue::Text(text) if text == PRESENT);
                let present = values.iter().any(is_present);
                Some(if present { CellMask::ARCHIVED } else { CellMask::NONE })
            }
            Filter::Has(ValueField::Kind) => Some(CellMask::ALL),
            Filter::Has(ValueField::Archived) => Some(CellMask::ARCHIVED),
            Filter::Not(filter) => CellMask::read_filter(filter).map(CellMask::not),
            _ => None,
        }
    }

    /// Whether a cell is in the set.
    pub(crate) fn has(self, cell: usize) -> bool {
        self.0 & (1 << cell) != 0
    }
}

/// The rows of one organization.
#[derive(Debug)]
pub(crate) struct OrganizationRows {
    pub(crate) id: OrganizationId,
    /// Whether it was deleted.
    pub(crate) deleted: bool,
    pub(crate) cells: [Posting; CELLS],
    /// The number of rows of each cell with each value of a field with few values.
    pub(crate) values: HashMap<Term, [u32; CELLS]>,
}

/// All organizations that have or had sessions.
#[derive(Debug, Default)]
pub(crate) struct Organizations {
    numbers: HashMap<OrganizationId, u32>,
    all: Vec<OrganizationRows>,
    /// The rows of each cell of all organizations.
    pub(crate) by_cell: [Posting; CELLS],
    /// The number of rows of each cell in deleted organizations.
    pub(crate) deleted_totals: [u64; CELLS],
}

impl Organizations {
    /// The number of an organization. A new one is added.
    pub(crate) fn intern(&mut self, id: OrganizationId) -> u32 {
        let next = u32::try_from(self.all.len()).expect("fewer organizations than 2^30");
        let number = *self.numbers.entry(id).or_insert(next);
        if number == next {
            let (cells, values) = (Default::default(), HashMap::new());
            self.all.push(OrganizationRows { id, deleted: false, cells, values });
        }
        number
    }

    /// The cell of a session.
    pub(crate) fn cell(&mut self, id: OrganizationId, kind: SessionKind, archived: bool) -> u32 {
        let within = match (kind, archived) {
            (SessionKind::Device, _) => 0,
            (SessionKind::Agent, false) => 1,
            (SessionKind::Agent, true) => 2,
            (SessionKind::Login, _) => 3,
        };
        self.intern(id) * CELLS as u32 + within
    }

    /// The kind of the sessions of a cell.
    pub(crate) fn kind(cell: u32) -> SessionKind {
        match cell as usize % CELLS {
            0 => SessionKind::Device,
            3 => SessionKind::Login,
            _ => SessionKind::Agent,
        }
    }

    /// The organization of a cell.
    pub(crate) fn organization_at(&self, cell: u32) -> &OrganizationRows {
        &self.all[cell as usize / CELLS]
    }

    /// The organization of a cell, and which of its cells it is.
    pub(crate) fn organization_mut(&mut self, cell: u32) -> (&mut OrganizationRows, usize) {
        (&mut self.all[cell as usize / CELLS], cell as usize % CELLS)
    }

    /// An organization with sessions.
    pub(crate) fn get(&self, id: OrganizationId) -> Option<&OrganizationRows> {
        self.numbers.get(&id).map(|number| &self.all[*number as usize])
    }

    /// Marks an organization as deleted.
    pub(crate) fn mark_deleted(&mut self, id: OrganizationId) -> &OrganizationRows {
        let number = self.intern(id) as usize;
        let organization = &mut self.all[number];
        organization.deleted = true;
        for (total, rows) in self.deleted_totals.iter_mut().zip(&organization.cells) {
            *total += rows.len();
        }
        organization
    }

    /// Gives back memory that was reserved for more rows.
    pub(crate) fn shrink(&mut self) {
        for organization in &mut self.all {
            organization.cells.iter_mut().for_each(Posting::shrink);
            organization.values.shrink_to_fit();
        }
        self.all.shrink_to_fit();
        self.by_cell.iter_mut().for_each(Posting::shrink);
    }

    /// Whether an organization was deleted.
    pub(crate) fn is_deleted(&self, id: OrganizationId) -> bool {
        self.get(id).is_some_and(|organization| organization.deleted)
    }

    /// About how many bytes they hold.
    pub(crate) fn memory(&self) -> usize {
        let one = |organization: &OrganizationRows| {
            let cells = organization.cells.iter().map(Posting::memory).sum::<usize>();
            cells + organization.values.capacity() * (4 + 4 * CELLS + 1) + size_of::<OrganizationRows>()
        };
        let by_cell = self.by_cell.iter().map(Posting::memory).sum::<usize>();
        self.all.iter().map(one).sum::<usize>() + by_cell + self.numbers.capacity() * 24
    }

    /// One more than the largest number of a cell.
    pub(crate) fn cells(&self) -> usize {
        self.all.len() * CELLS
    }

    /// The number of rows of some cells of all organizations.
    pub(crate) fn count_cells(&self, cells: CellMask, without_deleted: bool) -> u64 {
        let counts = self.by_cell.iter().map(Posting::len).zip(self.deleted_totals).enumerate();
        let counts = counts.filter(|(cell, _)| cells.has(*cell));
        counts.map(|(_, (all, deleted))| if without_deleted { all - deleted } else { all }).sum()
    }
}

impl OrganizationRows {
    /// The rows of some cells, without cells that have none.
    pub(crate) fn rows(&self, mask: CellMask) -> impl Iterator<Item = &Posting> {
        self.cells
            .iter()
            .enumerate()
            .filter(move |(cell, rows)| mask.has(*cell) && !rows.is_empty())
            .map(|(_, rows)| rows)
    }

    /// Counts a value of a row of a cell once more, or once less.
    pub(crate) fn count(&mut self, cell: usize, term: Term, more: bool) {
        let counts = self.values.entry(term).or_default();
        counts[cell] = if more { counts[cell] + 1 } else { counts[cell].saturating_sub(1) };
        if *counts == [0; CELLS] {
            self.values.remove(&term);
        }
    }
}
