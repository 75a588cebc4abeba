// The compiled BPF object, as bytes in the program.
    .section .rodata
    .global sluice_xdp_object
    .global sluice_xdp_object_end
    .balign 16
sluice_xdp_object:
    .incbin SLUICE_XDP_OBJECT
sluice_xdp_object_end:
    .section .note.GNU-stack,"",@progbits
