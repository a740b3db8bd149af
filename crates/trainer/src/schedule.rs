//! The learning rate as a pure function of how far the run has come.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// In a straight line to zero (Devlin et al. 2018, appendix A.2).
    #[default]
    Linear,
    /// Along half a cosine to zero (Loshchilov and Hutter 2017).
    Cosine,
    /// Not at all.
    Constant,
    /// With the root of the step, `sqrt(warmup / progress)` (Vaswani et al. 2017, section 5.3).
    InverseRoot,
    /// Not at all until the last part of the run, the cooldown, and there in a straight line to zero (Hägele et
    /// al. 2024).
    Trapezoid,
}

/// When a run ends and how its learning rate goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Optimizer steps of the whole run.
    pub steps: u64,
    /// A budget of wall-clock time, counted from the end of the first step, so that neither scores before it nor
    /// a device that is being opened use up the warm-up. The progress of the run is the larger of the share of
    /// steps and the share of time, so a slow machine ends in time with the learning rate decayed. Only runs
    /// without it give the same numbers each time.
    #[serde(default)]
    pub minutes: Option<f64>,
    /// Share of the run in which the learning rate rises from zero.
    #[serde(default = "default_warmup")]
    pub warmup: f64,
    /// The warm-up in steps, instead of a share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<u64>,
    /// What follows.
    #[serde(default)]
    pub decay: Decay,
    /// Share of the run in which a trapezoid falls; nothing else looks at it.
    #[serde(default = "default_cooldown", skip_serializing_if = "is_default_cooldown")]
    pub cooldown: f64,
}

fn default_warmup() -> f64 {
    0.06
}

fn default_cooldown() -> f64 {
    0.2
}

fn is_default_cooldown(share: &f64) -> bool {
    *share == default_cooldown()
}

impl Default for Schedule {
    /// One step; everything else as a recipe has it that says nothing.
    fn default() -> Self {
        Self {
            steps: 1,
            minutes: None,
            warmup: default_warmup(),
            warmup_steps: None,
            decay: Decay::default(),
            cooldown: default_cooldown(),
        }
    }
}

impl Schedule {
    /// How much of the run is behind us when `step` begins, so many seconds after the first one ended; 0 to 1.
    pub fn progress(&self, step: u64, elapsed_seconds: f64) -> f64 {
        let steps = step as f64 / (self.steps as f64).max(1.0);
        let time = self
            .minutes
            .map_or(0.0, |minutes| elapsed_seconds / (60.0 * minutes));
        steps.max(time).min(1.0)
    }

    /// What the peak learning rate is multiplied by at this progress, 0 to 1. The first step of a run is half a
    /// step into the warm-up, so that it is not lost.
    pub fn factor(&self, progress: f64) -> f64 {
        let step = 1.0 / (self.steps as f64).max(1.0);
        let progress = (progress + 0.5 * step).min(1.0);
        let warmup = self.warmup_share();
        if progress < warmup {
            return progress / warmup;
        }
        let rest = (progress - warmup) / (1.0 - warmup).max(f64::EPSILON);
        match self.decay {
            Decay::Linear => 1.0 - rest,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * rest).cos()),
            Decay::Constant => 1.0,
            Decay::InverseRoot => (warmup.max(0.5 * step) / progress).sqrt(),
            Decay::Trapezoid => ((1.0 - progress) / self.cooldown.max(f64::EPSILON)).min(1.0),
        }
    }

    fn warmup_share(&self) -> f64 {
        self.warmup_steps
            .map_or(self.warmup, |steps| steps as f64 / (self.steps as f64).max(1.0))
    }

    /// Refuses numbers that make no schedule.
    ///
    /// # Errors
    /// No steps, a budget of time that is not positive, shares outside of 0 to 1, a trapezoid whose warm-up and
    /// cooldown overlap.
    pub fn check(&self) -> Result<()> {
        let warmup = self.warmup_share();
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let overlap = self.decay == Decay::Trapezoid && warmup + self.cooldown > 1.0;
        let (field, value, accepted) = if self.steps == 0 {
            ("schedule.steps", "0".to_owned(), "1 or more")
        } else if let Some(minutes) = self
            .minutes
            .filter(|minutes| !minutes.is_finite() || *minutes <= 0.0)
        {
            ("schedule.minutes", minutes.to_string(), "a positive number")
        } else if !share(warmup) {
            let (field, value) = match self.warmup_steps {
                Some(steps) => ("schedule.warmup_steps", steps.to_string()),
                None => ("schedule.warmup", warmup.to_string()),
            };
            (field, value, "at most the whole run, a share of 0 to 1")
        } else if !share(self.cooldown) || overlap {
            let value = self.cooldown.to_string();
            (
                "schedule.cooldown",
                value,
                "a share of 0 to 1 that the warm-up leaves",
            )
        } else {
            return Ok(());
        };
        Err(Error::Setting {
            field,
            value,
            accepted: accepted.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay) -> Schedule {
        Schedule {
            steps: 100,
            warmup: 0.1,
            decay,
            ..Schedule::default()
        }
    }

    #[test]
    fn rises_to_one_and_falls_to_zero() {
        for decay in [Decay::Linear, Decay::Cosine, Decay::Trapezoid] {
            let schedule = schedule(decay);
            let factors: Vec<f64> = (0..100)
                .map(|step| schedule.factor(schedule.progress(step, 0.0)))
                .collect();
            assert!(factors[0] > 0.0 && factors[..10].is_sorted(), "{decay:?}");
            assert!(factors.iter().cloned().fold(0.0, f64::max) > 0.99, "{decay:?}");
            assert!(factors[10..].is_sorted_by(|a, b| a >= b), "{decay:?}");
            assert!(factors[99] < 0.03, "{decay:?}");
        }
        assert_eq!(schedule(Decay::Constant).factor(0.7), 1.0);
    }

    #[test]
    fn half_way_down_is_a_half() {
        assert!((schedule(Decay::Linear).factor(0.545) - 0.5).abs() < 1e-9);
        assert!((schedule(Decay::Cosine).factor(0.545) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_trapezoid_is_flat_until_the_cooldown() {
        let schedule = schedule(Decay::Trapezoid);
        assert_eq!(schedule.factor(0.15), 1.0);
        assert_eq!(schedule.factor(0.79), 1.0);
        assert!((schedule.factor(0.895) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_inverse_root_goes_on_from_the_warmup() {
        let root = schedule(Decay::InverseRoot);
        assert!((root.factor(0.095) - 1.0).abs() < 1e-9);
        assert!((root.factor(0.395) - 0.5).abs() < 1e-9);
        let without = Schedule {
            warmup_steps: Some(0),
            ..root
        };
        assert_eq!(without.factor(0.0), 1.0);
        assert!((without.factor(0.01) - (1.0f64 / 3.0).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn a_warmup_may_be_given_in_steps() {
        let schedule = Schedule {
            warmup_steps: Some(50),
            ..schedule(Decay::Linear)
        };
        assert!((schedule.factor(0.245) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn what_makes_no_schedule_is_refused_by_name() {
        let good = schedule(Decay::Trapezoid);
        assert!(good.check().is_ok());
        let minutes = Some(-1.0);
        let refused = [
            (Schedule { steps: 0, ..good }, "schedule.steps is 0"),
            (Schedule { minutes, ..good }, "schedule.minutes is -1"),
            (
                Schedule {
                    warmup: f64::NAN,
                    ..good
                },
                "schedule.warmup is NaN",
            ),
            (
                Schedule {
                    warmup_steps: Some(101),
                    ..good
                },
                "schedule.warmup_steps is 101",
            ),
            (
                Schedule {
                    cooldown: 0.95,
                    ..good
                },
                "schedule.cooldown is 0.95",
            ),
        ];
        for (schedule, expected) in refused {
            let said = schedule.check().err().map(|error| error.to_string());
            assert!(said.is_some_and(|said| said.contains(expected)), "{expected}");
        }
    }

    #[test]
    fn time_counts_when_it_is_further() {
        let schedule = Schedule {
            minutes: Some(10.0),
            ..schedule(Decay::Linear)
        };
        assert_eq!(schedule.progress(10, 30.0), 0.1);
        assert_eq!(schedule.progress(10, 300.0), 0.5);
        assert_eq!(schedule.progress(10, 6000.0), 1.0);
    }
}
