//! Evaluations: what schedulers say became of them.

use super::writer::Writer;
use crate::command::{Outcome, Refusal};
use floe_model::{EvalId, EvalStatus, Evaluation};
use std::collections::BTreeSet;

impl Writer<'_> {
    /// Writes evaluations. One that becomes blocked cancels older blocked ones of its job: one is enough to wake it.
    pub(super) fn update_evals(&mut self, evals: &[Evaluation]) -> Result<Outcome, Refusal> {
        let mut jobs = BTreeSet::new();
        let mut written = Vec::new();
        for eval in evals {
            let mut eval = eval.clone();
            if let Some(old) = self.state.eval(&eval.id) {
                eval.create_index = old.create_index;
                eval.create_time = old.create_time;
            }
            if eval.status == EvalStatus::Blocked {
                self.cancel_older_blocked(&eval);
            }
            jobs.insert(eval.job_key());
            written.push(self.put_eval(eval));
        }
        for key in jobs {
            self.refresh_job_status(&key);
        }
        Ok(Outcome::Evals(written))
    }

    fn cancel_older_blocked(&mut self, newer: &Evaluation) {
        let key = newer.job_key();
        let older: Vec<EvalId> = self
            .state
            .evals_of_job(&key)
            // System jobs block once per node.
            .filter(|e| e.status == EvalStatus::Blocked && e.id != newer.id && e.node_id == newer.node_id)
            .map(|e| e.id.clone())
            .collect();
        for id in older {
            let Some(old) = self.state.eval(&id) else { continue };
            let mut old = (**old).clone();
            old.status = EvalStatus::Canceled;
            old.status_description = format!("superseded by evaluation {}", newer.id);
            self.put_eval(old);
        }
    }
}
