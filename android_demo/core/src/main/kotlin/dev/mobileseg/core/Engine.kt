package dev.mobileseg.core

import java.nio.ByteBuffer

/** What may run a model. `id` is the name on the command line, in intents and in results. */
enum class Delegate(
    val id: String,
    val label: String,
) {
    XNNPACK("xnnpack", "CPU (XNNPACK)"),
    GPU("gpu", "GPU"),
    NNAPI("nnapi", "NNAPI"),
    NONE("none", "CPU (built-in kernels)"),
    ;

    /** Whether it runs in this process's own code, where nothing but the file can make it fail. */
    val onCpu get() = this == XNNPACK || this == NONE

    companion object {
        /** @throws DemoError if there is no such delegate */
        fun of(id: String): Delegate =
            entries.firstOrNull { it.id == id }
                ?: throw DemoError("There is no delegate $id; choose one of ${entries.joinToString { it.id }}.")
    }
}

/** How a model is run. `threads` are the CPU's. */
data class EngineOptions(
    val delegate: Delegate = Delegate.XNNPACK,
    val threads: Int = 1,
)

/** A tensor as the runtime sees it. `dtype` is named as in manifests. */
data class TensorInfo(
    val dtype: String,
    val shape: List<Int>,
    val bytes: Int,
) {
    override fun toString() = "$dtype $shape"
}

/** One model, loaded for one delegate. It owns the runtime's memory; all calls come from the thread that opened it. */
interface Engine : AutoCloseable {
    val input: TensorInfo
    val output: TensorInfo

    /** Which operations run inside of the delegate; null if the runtime does not say. */
    val taken: Taken?

    /** The runtime's name and version. */
    val version: Pair<String, String>

    /** @param input, output the tensors' memory, direct and in native order */
    fun run(
        input: ByteBuffer,
        output: ByteBuffer,
    )
}

/** What opens engines: TensorFlow Lite on a phone, another build of it in tests. */
fun interface EngineFactory {
    /**
     * @param model the content of a .tflite file, direct; the engine keeps it
     * @throws Exception whatever the runtime has to say, if it cannot run this model so
     */
    fun open(
        model: ByteBuffer,
        options: EngineOptions,
    ): Engine
}

/** @throws DemoError if the engine's tensors are not those of the manifest */
fun matchTensors(
    engine: Engine,
    manifest: Manifest,
    name: String,
) {
    val (input, output) = manifest.input to manifest.output
    val depth = if (output.givesLabels) emptyList() else listOf(manifest.classes.size)
    match(engine.input, "input", "${input.dtype} ${listOf(1, input.height, input.width, 3)}", name)
    match(engine.output, "output", "${output.dtype} ${listOf(1, output.height, output.width) + depth}", name)
}

private fun match(
    found: TensorInfo,
    role: String,
    said: String,
    name: String,
) {
    if (found.toString() == said) return
    throw DemoError(
        "$name: its $role is $found but its manifest says $said; they are not of one model. Export it again.",
    )
}
