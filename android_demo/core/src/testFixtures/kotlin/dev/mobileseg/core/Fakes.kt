package dev.mobileseg.core

import java.nio.ByteBuffer

/** A manifest of no file, for what needs its numbers only. */
fun manifestOf(
    input: Pair<Int, Int> = 2 to 4,
    output: Pair<Int, Int> = input,
    dtype: String = "uint8",
    kind: String = "logits",
    outputType: String = "float32",
    classes: Int = 3,
    precision: String = "float32",
) = Manifest(
    model = "made",
    precision = precision,
    input = InputSpec(input.first, input.second, dtype, mean = 127.5f, std = 64f, normalizedOutside = false),
    output = OutputSpec(kind, output.first, output.second, outputType),
    classes = List(classes) { "class $it" },
    palette = List(classes) { 0x102030 + it },
)

/** An engine of a manifest's tensors, which does as it is told. */
class FakeEngine(
    manifest: Manifest,
    private val onRun: (ByteBuffer, ByteBuffer) -> Unit = { _, _ -> },
) : Engine {
    private val depth = if (manifest.output.givesLabels) 1 else manifest.classes.size
    private val inputSize = manifest.input.run { height * width * 3 }
    private val outputSize = manifest.output.run { height * width * depth }
    var closed = false
    override val input = manifest.input.run {
        TensorInfo(
            dtype,
            listOf(1, height, width, 3),
            inputSize * sizeOf(dtype),
        )
    }
    override val output =
        manifest.output.run {
            val channels = if (givesLabels) emptyList() else listOf(depth)
            TensorInfo(dtype, listOf(1, height, width) + channels, outputSize * sizeOf(dtype))
        }
    override val taken = Taken(1, 0, 1)
    override val version = "fake" to "1"

    override fun run(
        input: ByteBuffer,
        output: ByteBuffer,
    ) = onRun(input, output)

    override fun close() {
        closed = true
    }
}

private fun sizeOf(dtype: String) =
    when (dtype) {
        "float32", "int32" -> Int.SIZE_BYTES
        "int64" -> Long.SIZE_BYTES
        else -> 1
    }

/** The error that an action ends in. */
fun messageOf(action: () -> Unit): String =
    try {
        action()
        throw AssertionError("no error")
    } catch (error: DemoError) {
        error.message.orEmpty()
    }
