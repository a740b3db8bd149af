//! The learning rate as a pure function of how far the run has come.

use serde::{Deserialize, Serialize};

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// In a straight line to zero (Devlin et al. 2018, appendix A.2).
    #[default]
    Linear,
    /// Along half a cosine to zero (Loshchilov and Hutter 2017).
    Cosine,
    /// Not at all.
    Constant,
}

/// When a run ends and how its learning rate goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Optimizer steps of the whole run.
    pub steps: u64,
    /// A budget of wall-clock time. The progress of the run is the larger of the share of steps and the share
    /// of time, so a slow machine ends in time with the learning rate decayed. Only runs without it give the
    /// same numbers each time.
    #[serde(default)]
    pub minutes: Option<f64>,
    /// Share of the run in which the learning rate rises from zero.
    #[serde(default = "default_warmup")]
    pub warmup: f64,
    /// What follows.
    #[serde(default)]
    pub decay: Decay,
}

fn default_warmup() -> f64 {
    0.06
}

impl Schedule {
    /// How much of the run is behind us when `step` begins, 0 to 1.
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
        let progress = (progress + 0.5 / (self.steps as f64).max(1.0)).min(1.0);
        if progress < self.warmup {
            return progress / self.warmup;
        }
        let rest = (progress - self.warmup) / (1.0 - self.warmup).max(f64::EPSILON);
        match self.decay {
            Decay::Linear => 1.0 - rest,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * rest).cos()),
            Decay::Constant => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay) -> Schedule {
        Schedule {
            steps: 100,
            minutes: None,
            warmup: 0.1,
            decay,
        }
    }

    #[test]
    fn rises_to_one_and_falls_to_zero() {
        for decay in [Decay::Linear, Decay::Cosine] {
            let schedule = schedule(decay);
            let factors: Vec<f64> = (0..100)
                .map(|step| schedule.factor(schedule.progress(step, 0.0)))
                .collect();
            assert!(factors[0] > 0.0 && factors[..10].is_sorted(), "{decay:?}");
            assert!(factors.iter().cloned().fold(0.0, f64::max) > 0.99, "{decay:?}");
            assert!(factors[10..].is_sorted_by(|a, b| a >= b), "{decay:?}");
            assert!(factors[99] < 0.01, "{decay:?}");
        }
        assert_eq!(schedule(Decay::Constant).factor(0.7), 1.0);
    }

    #[test]
    fn half_way_down_is_a_half() {
        assert!((schedule(Decay::Linear).factor(0.545) - 0.5).abs() < 1e-9);
        assert!((schedule(Decay::Cosine).factor(0.545) - 0.5).abs() < 1e-9);
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
