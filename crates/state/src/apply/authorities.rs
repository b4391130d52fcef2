//! The change from one authority to the next, step by step.

use super::writer::Writer;
use crate::{
    authorities::{Authorities, Rotation, RotationStep},
    command::{Outcome, Refusal},
};
use std::sync::Arc;

impl Writer<'_> {
    pub(super) fn begin_rotation(&mut self, present: &[u8], next: &[u8]) -> Result<Outcome, Refusal> {
        if let Some(known) = &self.state.authorities {
            if known.rotation.is_some() {
                return Err(Refusal::RotationUnderWay);
            }
            if known.present != present {
                return Err(Refusal::OtherAuthority);
            }
        }
        let rotation = Rotation { next: next.to_vec(), step: RotationStep::Trust, begun: self.now, done: Default::default() };
        self.put_authorities(present.to_vec(), Some(rotation));
        Ok(Outcome::Done)
    }

    /// An agent has done what the present step asks. What is said of an earlier step does not count.
    pub(super) fn note_rotation(&mut self, round: u64, id: &str) -> Result<Outcome, Refusal> {
        let mut known = self.rotation_of(round)?;
        let is_new = known.rotation.as_mut().is_some_and(|rotation| rotation.done.insert(id.to_owned()));
        if is_new {
            self.state.authorities = Some(Arc::new(known));
        }
        Ok(Outcome::Done)
    }

    pub(super) fn advance_rotation(&mut self, round: u64) -> Result<Outcome, Refusal> {
        let Authorities { present, rotation, .. } = self.rotation_of(round)?;
        match rotation {
            Some(rotation) if rotation.step == RotationStep::Trust => {
                let next = Rotation { step: RotationStep::Renew, done: Default::default(), ..rotation };
                self.put_authorities(present, Some(next));
            }
            Some(rotation) => self.put_authorities(rotation.next, None),
            None => {}
        }
        Ok(Outcome::Done)
    }

    /// Ends a rotation that has not come farther than its first step: nobody has a certificate of the next authority yet.
    pub(super) fn cancel_rotation(&mut self, round: u64) -> Result<Outcome, Refusal> {
        let Authorities { present, rotation, .. } = self.rotation_of(round)?;
        if rotation.is_some_and(|rotation| rotation.step == RotationStep::Renew) {
            return Err(Refusal::RotationTooFar);
        }
        self.put_authorities(present, None);
        Ok(Outcome::Done)
    }

    /// What is known, if a rotation is under way and has not changed since `round`.
    fn rotation_of(&self, round: u64) -> Result<Authorities, Refusal> {
        let known = self.state.authorities.as_ref().filter(|known| known.rotation.is_some() && known.round == round);
        known.map(|known| Authorities::clone(known)).ok_or(Refusal::NoSuchRotation)
    }

    fn put_authorities(&mut self, present: Vec<u8>, rotation: Option<Rotation>) {
        let known = Authorities { round: self.index, present, rotation };
        self.forget_sealed_authorities(&known);
        self.state.authorities = Some(Arc::new(known));
    }
}
