"""A compiled program's text, as the TPU compiler writes it, shortened."""

PROGRAM = """HloModule jit_step, is_scheduled=true

FileNames
1 "step.py"

%region_1.1 (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  %b = f32[]{:T(128)} parameter(1)
  ROOT %sum.9 = f32[]{:T(128)} add(%a, %b)
}

%fused_computation.1 (p0: bf16[4,32,32,64], p1: bf16[3,3,64,128]) -> bf16[4,32,32,128] {
  %p0 = bf16[4,32,32,64]{3,2,1,0:T(8,128)(2,1)} parameter(0)
  %p1 = bf16[3,3,64,128]{3,2,1,0:T(8,128)(2,1)} parameter(1)
  ROOT %convolution.7 = bf16[4,32,32,128]{3,2,1,0:T(8,128)(2,1)} convolution(%p0, %p1), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_01io->b01f, metadata={op_name="jit(step)/jvp(Net.redraw)/encoder/first/conv/conv_general_dilated" stack_frame_id=4}
}

%fused_computation.2 (p2: bf16[4,32,32,128]) -> bf16[4,32,32,128] {
  %p2 = bf16[4,32,32,128]{3,2,1,0:T(8,128)(2,1)} parameter(0)
  ROOT %multiply.3 = bf16[4,32,32,128]{3,2,1,0:T(8,128)(2,1)} multiply(%p2, %p2)
}

%fused_computation.3 (p3: f32[100,8], p4: s32[40]) -> f32[40,8] {
  %p3 = f32[100,8]{1,0:T(8,128)} parameter(0)
  %p4 = s32[40]{0:T(128)} parameter(1)
  ROOT %gather.7 = f32[40,8]{1,0:T(8,128)} gather(%p3, %p4), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,8}
}

%fused_computation.4 (p5: f32[100,8], p6: s32[40], p7: f32[40,8]) -> f32[100,8] {
  %p5 = f32[100,8]{1,0:T(8,128)} parameter(0)
  %p6 = s32[40]{0:T(128)} parameter(1)
  %p7 = f32[40,8]{1,0:T(8,128)} parameter(2)
  ROOT %scatter.7 = f32[100,8]{1,0:T(8,128)} scatter(%p5, %p6, %p7), update_window_dims={1}, inserted_window_dims={0}, scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=%region_1.1
}

%body.5 (c: (s32[], f32[64])) -> (s32[], f32[64]) {
  %c = (s32[]{:T(128)}, f32[64]{0:T(128)}) parameter(0)
  %get-tuple-element.1 = f32[64]{0:T(128)} get-tuple-element(%c), index=1
  %get-tuple-element.2 = s32[]{:T(128)} get-tuple-element(%c), index=0
  %negate.4 = f32[64]{0:T(128)} negate(%get-tuple-element.1), metadata={op_name="jit(step)/while/body/sampler/neg"}, backend_config={"window_config":{"estimated_cycles":"30"}}
  ROOT %tuple.4 = (s32[]{:T(128)}, f32[64]{0:T(128)}) tuple(%get-tuple-element.2, %negate.4)
}

%condition.5 (d: (s32[], f32[64])) -> pred[] {
  %d = (s32[]{:T(128)}, f32[64]{0:T(128)}) parameter(0)
  ROOT %constant.2 = pred[]{:T(512)} constant(true)
}

ENTRY %main.450_spmd (x: bf16[4,32,32,64], k: bf16[3,3,64,128], g: f32[64]) -> (bf16[4,32,32,128], f32[64]) {
  %x = bf16[4,32,32,64]{3,2,1,0:T(8,128)(2,1)} parameter(0)
  %k = bf16[3,3,64,128]{3,2,1,0:T(8,128)(2,1)S(1)} parameter(1)
  %g = f32[64]{0:T(128)} parameter(2)
  %convolution_fusion = bf16[4,32,32,128]{3,2,1,0:T(8,128)(2,1)} fusion(%x, %k), kind=kOutput, calls=%fused_computation.1, metadata={op_name="jit(step)/jvp(Net.redraw)/encoder/first/conv/conv_general_dilated" stack_frame_id=4}, backend_config={"window_config":{"kernel_window_bounds":["1"],"estimated_cycles":"9000","iteration_bounds":["1"]}}
  %multiply_fusion = bf16[4,32,32,128]{3,2,1,0:T(8,128)(2,1)} fusion(%convolution_fusion), kind=kLoop, calls=%fused_computation.2, metadata={op_name="jit(step)/transpose(jvp(Net.redraw))/decoder/up_0/mul" stack_frame_id=5}, backend_config={"window_config":{"estimated_cycles":"4000"}}
  %all-reduce.1 = (f32[64]{0:T(128)}, f32[]{:T(128)}) all-reduce(%g, %g), channel_id=1, replica_groups=mesh['axis_0'=2,'axis_1'=8] {'axis_0'}, use_global_device_ids=true, to_apply=%region_1.1, metadata={op_name="jit(step)/transpose(jvp(Net.redraw))/decoder/up_0/reduce_sum"}
  %all-gather-start.1 = (f32[64]{0:T(128)}, f32[512]{0:T(512)}) all-gather-start(%g), channel_id=2, replica_groups=[2,8]<=[16], dimensions={0}
  %all-gather-done.1 = f32[512]{0:T(512)} all-gather-done(%all-gather-start.1)
  %i = s32[40]{0:T(128)} parameter(3)
  %v = f32[100,8]{1,0:T(8,128)} parameter(4)
  %gather_fusion = f32[40,8]{1,0:T(8,128)} fusion(%v, %i), kind=kCustom, calls=%fused_computation.3, metadata={op_name="jit(step)/jvp(Net.redraw)/warp/vmap(jit(_take))/gather"}
  %scatter_fusion = f32[100,8]{1,0:T(8,128)} fusion(%v, %i, %gather_fusion), kind=kCustom, calls=%fused_computation.4, metadata={op_name="jit(step)/transpose(jvp(Net.redraw))/warp/scatter-add"}
  %sort.1 = (s32[40]{0:T(128)}, s32[40]{0:T(128)}) sort(%i, %i), dimensions={0}, to_apply=%region_1.1, metadata={op_name="jit(step)/transpose(jvp(Net.redraw))/warp/scatter-add"}
  %copy-start.1 = (f32[64]{0:T(128)S(1)}, f32[64]{0:T(128)}, u32[]{:S(2)}) copy-start(%g)
  %tuple.1 = (s32[]{:T(128)}, f32[64]{0:T(128)}) tuple(%x, %g)
  %while.1 = (s32[]{:T(128)}, f32[64]{0:T(128)}) while(%tuple.1), condition=%condition.5, body=%body.5, backend_config={"known_trip_count":{"n":"50"}}
  %while.2 = (s32[]{:T(128)}, f32[64]{0:T(128)}) while(%while.1), condition=%condition.5, body=%body.5
  %get-tuple-element.9 = f32[64]{0:T(128)} get-tuple-element(%while.2), index=1
  ROOT %tuple.2 = (bf16[4,32,32,128]{3,2,1,0:T(8,128)(2,1)}, f32[64]{0:T(128)}) tuple(%multiply_fusion, %get-tuple-element.9)
}
"""  # noqa: E501

REFUSED = (
    "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. "
    "Used 20.50G of 15.75G hbm. Exceeded hbm capacity by 4.75G.\n\nTotal hbm usage >= 20.75G:\n"
    "    reserved        258.00M \n    program          19.81G \n    arguments       703.83M \n"
)
