#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
use super::*;
use candle_core::{Device, Tensor};

/// The formulas of the paper in f64, one number at a time.
fn oracle(w: f64, gradients: &[f64], s: &Settings, decays: bool) -> f64 {
    let (mut w, mut m, mut v) = (w, 0.0, 0.0);
    for (at, g) in gradients.iter().enumerate() {
        let t = at as i32 + 1;
        m = s.beta1 * m + (1.0 - s.beta1) * g;
        v = s.beta2 * v + (1.0 - s.beta2) * g * g;
        let (mean, square) = (m / (1.0 - s.beta1.powi(t)), v / (1.0 - s.beta2.powi(t)));
        let decay = if decays {
            s.learning_rate * s.weight_decay * w
        } else {
            0.0
        };
        w = w - decay - s.learning_rate * mean / (square.sqrt() + s.epsilon);
    }
    w
}

#[test]
fn agrees_with_the_formulas() {
    let settings = Settings {
        learning_rate: 0.01,
        clip_norm: 0.0,
        ..Settings::default()
    };
    let start = [0.5f32, -1.0, 2.0, 0.0];
    for (shape, decays) in [(vec![2, 2], true), (vec![4], false)] {
        let var = Var::from_tensor(&Tensor::new(&start, &Device::Cpu).unwrap().reshape(shape).unwrap());
        let var = var.unwrap();
        let adam = AdamW::new(vec![("w".into(), var.clone())], settings).unwrap();
        let mut gradients = vec![Vec::new(); 4];
        for step in 1..=7u64 {
            // The gradient of sum(w^2 * step) is 2 step w.
            let now = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (list, w) in gradients.iter_mut().zip(now) {
                list.push(2.0 * step as f64 * f64::from(w));
            }
            let loss = (var.sqr().unwrap().sum_all().unwrap() * step as f64).unwrap();
            let taken = adam.gradients(&mut loss.backward().unwrap()).unwrap();
            adam.step(&taken, step, settings.learning_rate).unwrap();
        }
        let end = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for ((start, end), gradients) in start.iter().zip(end).zip(&gradients) {
            let expected = oracle(f64::from(*start), gradients, &settings, decays);
            assert!((f64::from(end) - expected).abs() < 1e-5, "{end} {expected}");
        }
    }
}

#[test]
fn a_rate_scales_the_step_and_zero_freezes() {
    let var = || Var::from_tensor(&Tensor::new(&[[2f32]], &Device::Cpu).unwrap()).unwrap();
    let vars: Vec<_> = ["frozen", "half", "whole"]
        .map(|name| (name.to_owned(), var()))
        .into();
    let rate = |name: &str| match name {
        "frozen" => 0.0,
        "half" => 0.5,
        _ => 1.0,
    };
    let settings = Settings {
        clip_norm: 0.0,
        ..Settings::default()
    };
    let adam = AdamW::with_rates(vars.clone(), settings, rate).unwrap();
    assert_eq!((adam.slots().len(), adam.parameters()), (2, 2));
    assert_eq!(adam.frozen()[0].0, "frozen");
    let loss = vars.iter().map(|(_, var)| var.sqr().unwrap().sum_all().unwrap());
    let loss = loss.reduce(|a, b| (a + b).unwrap()).unwrap();
    let gradients = adam.gradients(&mut loss.backward().unwrap()).unwrap();
    adam.step(&gradients, 1, 0.1).unwrap();
    for (name, var) in &vars {
        let halved = Settings {
            learning_rate: 0.1 * rate(name),
            ..settings
        };
        let expected = oracle(2.0, &[4.0], &halved, true);
        let value = f64::from(var.to_vec2::<f32>().unwrap()[0][0]);
        assert!((value - expected).abs() < 1e-6, "{name}: {value}, {expected}");
    }
    assert!(AdamW::with_rates(vars.clone(), settings, |_| 0.0).is_err());
    assert!(AdamW::with_rates(vars, settings, |_| -1.0).is_err());
}

#[test]
fn clips_to_the_global_norm() {
    let settings = Settings {
        clip_norm: 1.0,
        beta1: 0.0,
        ..Settings::default()
    };
    let var = Var::from_tensor(&Tensor::new(&[3f32, 4.0], &Device::Cpu).unwrap()).unwrap();
    let adam = AdamW::new(vec![("w".into(), var.clone())], settings).unwrap();
    let loss = (var.sqr().unwrap().sum_all().unwrap() * 0.5).unwrap();
    let gradients = adam.gradients(&mut loss.backward().unwrap()).unwrap();
    assert!((gradients.norm() - 5.0).abs() < 1e-6);
    adam.step(&gradients, 1, 0.0).unwrap();
    let (mean, _) = adam.slots()[0].moments().unwrap();
    assert!(
        (mean[0] - 0.6).abs() < 1e-6 && (mean[1] - 0.8).abs() < 1e-6,
        "{mean:?}"
    );
}
