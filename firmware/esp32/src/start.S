/* Entry point: the bootloader jumps here, out of code of the windowed ABI.
 *
 * This program is compiled for the call0 ABI, so register windows are switched off (PS.WOE = 0)
 * and stay off; interrupts stay masked (PS.INTLEVEL = 15). PS = UM | INTLEVEL 15 = 0x2F.
 * Source: Xtensa ISA Reference Manual, "PS Register Fields".
 */
    .section .text.start, "ax"
    .global start
    .align 4
    .literal_position
start:
    movi    a2, 0x2F
    wsr.ps  a2
    rsync
    movi    a1, stack_top
    movi    a2, bss_start
    movi    a3, bss_end
    movi    a4, 0
1:  bgeu    a2, a3, 2f
    s32i    a4, a2, 0
    addi    a2, a2, 4
    j       1b
2:  movi    a2, main
    callx0  a2
3:  j       3b
