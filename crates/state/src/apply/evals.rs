//! Evaluations: what schedulers say became of them.

use super::writer::Writer;
use crate::command::{Outcome, Refusal};
use floe_model::{EvalStatus, Evaluation, JobKey};
use std::collections::BTreeSet;

impl Writer<'_> {
    /// Writes evaluations. One that becomes blocked cancels older blocked ones of its job: one is enough to wake it. One that is answered and
    /// found room for everything cancels them all: nothing waits any more.
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
                // System jobs block once per node.
                let why = format!("superseded by evaluation {}", eval.id);
                self.cancel_blocked(&eval.job_key(), &why, |e| e.id != eval.id && e.node_id == eval.node_id);
            }
            if eval.status == EvalStatus::Complete && eval.failed_tg_allocs.is_empty() {
                let why = format!("evaluation {} found room for everything", eval.id);
                self.cancel_blocked(&eval.job_key(), &why, |e| e.id != eval.id);
            }
            jobs.insert(eval.job_key());
            written.push(self.put_eval(eval));
        }
        for key in jobs {
            self.refresh_job_status(&key);
        }
        Ok(Outcome::Evals(written))
    }

    /// Cancels the blocked evaluations of a job that `which` names.
    pub(super) fn cancel_blocked(&mut self, key: &JobKey, why: &str, which: impl Fn(&Evaluation) -> bool) {
        let blocked: Vec<Evaluation> =
            self.state.open_evals_of_job(key).filter(|e| e.status == EvalStatus::Blocked && which(e)).map(|e| (**e).clone()).collect();
        for mut eval in blocked {
            eval.status = EvalStatus::Canceled;
            why.clone_into(&mut eval.status_description);
            self.put_eval(eval);
        }
    }
}
