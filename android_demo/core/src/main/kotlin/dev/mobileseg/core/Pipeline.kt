package dev.mobileseg.core

private const val NANOS = 1e6f

/** A frame's way through a model, each stage timed. It owns the engine. */
class Pipeline(
    private val engine: Engine,
    val manifest: Manifest,
    private val clock: () -> Long = System::nanoTime,
) : AutoCloseable {
    val mask = Mask(manifest)
    private val input = direct(engine.input.bytes)
    private val output = direct(engine.output.bytes)
    private val packer = Packer(manifest.input, input)
    private val rgba = IntArray(manifest.input.height * manifest.input.width)

    /**
     * Segment a frame into [mask].
     *
     * @param read writes the frame's pixels at the input's size, words whose bytes are R, G, B, A
     * @return milliseconds
     */
    fun run(read: (IntArray) -> Unit): Map<Stage, Float> {
        val begun = clock()
        read(rgba)
        packer.pack(rgba)
        val fed = clock()
        infer()
        val got = clock()
        mask.update(output)
        val done = clock()
        return mapOf(
            Stage.PRE to (fed - begun) / NANOS,
            Stage.INFERENCE to (got - fed) / NANOS,
            Stage.POST to (done - got) / NANOS,
        )
    }

    /** One inference on whatever the input holds: a GPU may compile what it cannot run. */
    fun tryOut() = infer()

    private fun infer() {
        input.clear()
        output.clear()
        engine.run(input, output)
    }

    /** The output tensor as it was last written, for tests. */
    fun lastOutput() = output.duplicate().order(output.order()).apply { clear() }

    override fun close() = engine.close()
}
