//! With the feature `cuda`, compiles the kernels of `src/cuda` to PTX for the GPU that `CUDA_COMPUTE_CAP` names (90, a
//! Hopper, if it names none), by the compiler that `NVCC` names or `nvcc`.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    println!("cargo:rerun-if-env-changed=NVCC");
    println!("cargo:rerun-if-env-changed=CUDA_COMPUTE_CAP");
    println!("cargo:rerun-if-changed=src/cuda/common.cuh");
    println!("cargo:rerun-if-changed=src/cuda/matrix.cuh");
    let compiler = env::var("NVCC").unwrap_or_else(|_| "nvcc".into());
    let capability = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "90".into());
    let out = env::var("OUT_DIR").unwrap_or_default();
    for name in ["rows", "dense", "attention", "loss"] {
        let source = format!("src/cuda/{name}.cu");
        println!("cargo:rerun-if-changed={source}");
        let target = Path::new(&out).join(format!("{name}.ptx"));
        let status = Command::new(&compiler)
            .args(["-ptx", "-O3", "-std=c++17"])
            .arg(format!("-arch=compute_{capability}"))
            .arg(&source)
            .arg("-o")
            .arg(target)
            .status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => panic!("{compiler} on {source}: {status}"),
            Err(error) => panic!("{compiler} cannot be run: {error}; set NVCC to the CUDA compiler"),
        }
    }
}
