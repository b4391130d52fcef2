//! Placement decisions: feasibility, ranking, reconciliation. Pure.
