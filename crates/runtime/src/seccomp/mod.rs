//! The system call filter of `exec` tasks, as a program for the kernel. What is not on the list fails with EPERM.
//!
//! Compiled here and not by libseccomp: that takes several milliseconds for every container, needs a C library, and libcontainer 0.7
//! passes it the mask and the value of a masked comparison the wrong way round, which leaves `clone` open. The kernel remembers which
//! calls a filter always allows, so the order of the list costs a task nothing.
//!
//! Programs for another architecture than the host's (32-bit x86 ones) are ended by SIGSYS: their calls have other numbers.

mod profile;

use nix::errno::Errno;

/// Flags of `clone` that make a new namespace.
const NAMESPACE_FLAGS: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET)
    .unsigned_abs();
/// Execution domains that ordinary programs ask for: plain, 32-bit, without address randomisation, both, and "which one is it".
const PERSONALITIES: &[u32] = &[0x0, 0x8, 0x2_0000, 0x4_0000, 0x2_0008, 0xffff_ffff];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Offsets in what the kernel shows a filter: the call's number, the architecture, and the low half of the first argument.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_FIRST_ARGUMENT: u32 = 16;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const NOT_PERMITTED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
const NOT_IMPLEMENTED: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();

/// A filter, ready to be loaded.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    program: Vec<libc::sock_filter>,
}

impl Filter {
    /// The filter of every `exec` task.
    pub(crate) fn standard() -> Self {
        let mut builder = Builder::default();
        builder.load(OFFSET_ARCHITECTURE);
        builder.unless_equal(ARCHITECTURE, KILL);
        builder.load(OFFSET_NUMBER);
        builder.if_greater(number(profile::NEWEST_KNOWN), NOT_IMPLEMENTED);
        // A filter cannot look into the structure that clone3 takes. C libraries use clone when it is not there.
        builder.if_equal(number(libc::SYS_clone3), &[(Test::Always, NOT_IMPLEMENTED)]);
        builder.if_equal(number(libc::SYS_clone), &[(Test::AnyBit(NAMESPACE_FLAGS), NOT_PERMITTED), (Test::Always, ALLOW)]);
        // vsock reaches a hypervisor past the network namespace.
        builder.if_equal(number(libc::SYS_socket), &[(Test::Equal(libc::AF_VSOCK.unsigned_abs()), NOT_PERMITTED), (Test::Always, ALLOW)]);
        let mut personalities: Vec<(Test, u32)> = PERSONALITIES.iter().map(|value| (Test::Equal(*value), ALLOW)).collect();
        personalities.push((Test::Always, NOT_PERMITTED));
        builder.if_equal(number(libc::SYS_personality), &personalities);
        for (low, high) in ranges(&profile::allowed()) {
            builder.if_less(low, NOT_PERMITTED);
            builder.unless_greater(high, ALLOW);
        }
        builder.finish(NOT_PERMITTED);
        Self { program: builder.program }
    }

    /// Restricts this process and its future children, for ever. It must have given up new privileges.
    pub(crate) fn load(&self) -> nix::Result<()> {
        let program = libc::sock_fprog {
            len: u16::try_from(self.program.len()).map_err(|_| Errno::E2BIG)?,
            filter: self.program.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel copies the program during the call and does not write to it.
        let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        Errno::result(result).map(drop)
    }
}

/// A call's number as the filter sees it. The constants are small and not negative.
fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// Runs of consecutive numbers, so that the program is short.
fn ranges(sorted: &[libc::c_long]) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for call in sorted.iter().map(|call| number(*call)) {
        match ranges.last_mut() {
            Some((_, high)) if *high + 1 == call => *high = call,
            _ => ranges.push((call, call)),
        }
    }
    ranges
}

/// What is asked about a call's first argument.
#[derive(Debug, Clone, Copy)]
enum Test {
    Always,
    Equal(u32),
    AnyBit(u32),
}

/// Writes instructions. Every jump leads over at most one block that ends in a return, so no jump is ever too far.
#[derive(Debug, Default)]
struct Builder {
    program: Vec<libc::sock_filter>,
}

impl Builder {
    fn push(&mut self, code: u32, k: u32, jt: u8, jf: u8) {
        let code = u16::try_from(code).expect("invariant: instruction codes are below 256");
        self.program.push(libc::sock_filter { code, jt, jf, k });
    }

    fn load(&mut self, offset: u32) {
        self.push(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    }

    fn finish(&mut self, verdict: u32) {
        self.push(libc::BPF_RET | libc::BPF_K, verdict, 0, 0);
    }

    fn compare(&mut self, operation: u32, k: u32, jt: u8, jf: u8) {
        self.push(libc::BPF_JMP | operation | libc::BPF_K, k, jt, jf);
    }

    fn unless_equal(&mut self, k: u32, verdict: u32) {
        self.compare(libc::BPF_JEQ, k, 1, 0);
        self.finish(verdict);
    }

    fn if_greater(&mut self, k: u32, verdict: u32) {
        self.compare(libc::BPF_JGT, k, 0, 1);
        self.finish(verdict);
    }

    fn unless_greater(&mut self, k: u32, verdict: u32) {
        self.compare(libc::BPF_JGT, k, 1, 0);
        self.finish(verdict);
    }

    fn if_less(&mut self, k: u32, verdict: u32) {
        self.compare(libc::BPF_JGE, k, 1, 0);
        self.finish(verdict);
    }

    /// For one call: the first test that holds decides. The last one must be `Always`, since the number is no longer loaded afterwards.
    fn if_equal(&mut self, call: u32, tests: &[(Test, u32)]) {
        let mut block = Self::default();
        block.load(OFFSET_FIRST_ARGUMENT);
        for (test, verdict) in tests {
            match *test {
                Test::Always => {}
                Test::Equal(value) => block.compare(libc::BPF_JEQ, value, 0, 1),
                Test::AnyBit(bits) => block.compare(libc::BPF_JSET, bits, 0, 1),
            }
            block.finish(*verdict);
        }
        let length = u8::try_from(block.program.len()).expect("invariant: a call has a handful of tests");
        self.compare(libc::BPF_JEQ, call, 0, length);
        self.program.append(&mut block.program);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    /// What the kernel would answer: an interpreter of the few instructions that are used.
    fn verdict(architecture: u32, call: u32, argument: u32) -> u32 {
        let program = Filter::standard().program;
        let (mut at, mut value) = (0usize, 0u32);
        loop {
            let instruction = program[at];
            let (code, k) = (u32::from(instruction.code), instruction.k);
            at += 1;
            let mut jump = |holds: bool| at += usize::from(if holds { instruction.jt } else { instruction.jf });
            match code & 0x07 {
                libc::BPF_LD => {
                    value = match k {
                        OFFSET_NUMBER => call,
                        OFFSET_ARCHITECTURE => architecture,
                        OFFSET_FIRST_ARGUMENT => argument,
                        other => panic!("load from {other}"),
                    }
                }
                libc::BPF_JMP => match code & 0xf0 {
                    libc::BPF_JEQ => jump(value == k),
                    libc::BPF_JGT => jump(value > k),
                    libc::BPF_JGE => jump(value >= k),
                    libc::BPF_JSET => jump(value & k != 0),
                    other => panic!("jump {other}"),
                },
                libc::BPF_RET => return k,
                other => panic!("instruction {other}"),
            }
        }
    }

    fn here(call: libc::c_long, argument: u32) -> u32 {
        verdict(ARCHITECTURE, number(call), argument)
    }

    #[test]
    fn every_number_gets_the_answer_of_the_list() {
        let special = [libc::SYS_clone, libc::SYS_clone3, libc::SYS_socket, libc::SYS_personality];
        let allowed = profile::allowed();
        for call in (0..=profile::NEWEST_KNOWN).filter(|call| !special.contains(call)) {
            let expected = if allowed.contains(&call) { ALLOW } else { NOT_PERMITTED };
            assert_eq!(here(call, 0), expected, "call {call}");
        }
    }

    #[test]
    fn calls_that_nobody_knows_yet_are_not_implemented() {
        assert_eq!(here(profile::NEWEST_KNOWN + 1, 0), NOT_IMPLEMENTED);
        assert_eq!(here(libc::SYS_clone3, 0), NOT_IMPLEMENTED);
        // The x32 calls of x86_64.
        assert_eq!(verdict(ARCHITECTURE, 0x4000_0000, 0), NOT_IMPLEMENTED);
    }

    #[test]
    fn other_architectures_are_ended() {
        assert_eq!(verdict(0x4000_0003, 1, 0), KILL);
    }

    #[test]
    fn clone_makes_threads_and_processes_but_no_namespaces() {
        assert_eq!(here(libc::SYS_clone, libc::SIGCHLD.unsigned_abs()), ALLOW);
        let thread = (libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD).unsigned_abs();
        assert_eq!(here(libc::SYS_clone, thread), ALLOW);
        for bit in (0..32).map(|bit| 1u32 << bit).filter(|bit| NAMESPACE_FLAGS & bit != 0) {
            assert_eq!(here(libc::SYS_clone, thread | bit), NOT_PERMITTED);
        }
        assert_eq!(NAMESPACE_FLAGS.count_ones(), 7);
    }

    #[test]
    fn sockets_and_personalities() {
        assert_eq!(here(libc::SYS_socket, libc::AF_INET.unsigned_abs()), ALLOW);
        assert_eq!(here(libc::SYS_socket, libc::AF_VSOCK.unsigned_abs()), NOT_PERMITTED);
        assert_eq!(here(libc::SYS_personality, 0xffff_ffff), ALLOW);
        assert_eq!(here(libc::SYS_personality, 0x40_0000), NOT_PERMITTED);
    }

    #[test]
    fn the_program_is_short_enough_for_the_kernel() {
        let length = Filter::standard().program.len();
        assert!(length < 4096 && length > 100, "{length} instructions");
    }
}
