package dev.mobileseg.core

import java.nio.ByteBuffer

/** A running model, what it runs on, and what the user should know of that: empty if it is all as asked. */
class Started(
    val pipeline: Pipeline,
    val delegate: Delegate,
    val notice: String,
)

/** Starts models: on the delegate asked for, or, where that fails, on the CPU, and says why. */
class Starter(
    private val factory: EngineFactory,
    private val marker: CrashMarker,
) {
    /**
     * @param name of the file, for messages
     * @throws DemoError if the CPU cannot run it either, or the file is not what its manifest says
     */
    fun start(
        model: ByteBuffer,
        manifest: Manifest,
        name: String,
        options: EngineOptions,
    ): Started {
        if (options.delegate.onCpu) return Started(open(model, manifest, name, options), options.delegate, "")
        val reason =
            try {
                return Started(guarded(model, manifest, name, options), options.delegate, noteOn(options, manifest))
            } catch (error: DemoError) {
                describe(error)
            }
        val cpu = options.copy(delegate = Delegate.XNNPACK)
        return Started(open(model, manifest, name, cpu), cpu.delegate, "Running on the CPU instead. $reason")
    }

    /** What to begin with after the last start, and why if it is not what is wanted. Forgets what it tells. */
    fun afterCrash(): String {
        val culprit = marker.found() ?: return ""
        marker.clear()
        return "The app ended while ${culprit.label} was starting the last time. It now begins on the CPU."
    }

    private fun guarded(
        model: ByteBuffer,
        manifest: Manifest,
        name: String,
        options: EngineOptions,
    ): Pipeline {
        marker.set(options.delegate)
        try {
            val pipeline = open(model, manifest, name, options)
            try {
                orMessage(name, options) { pipeline.tryOut() }
            } catch (error: DemoError) {
                pipeline.close()
                throw error
            }
            return pipeline
        } finally {
            marker.clear()
        }
    }

    private fun open(
        model: ByteBuffer,
        manifest: Manifest,
        name: String,
        options: EngineOptions,
    ): Pipeline {
        val engine = orMessage(name, options) { factory.open(model, options) }
        try {
            matchTensors(engine, manifest, name)
            return Pipeline(engine, manifest)
        } catch (error: DemoError) {
            engine.close()
            throw error
        }
    }
}

/** A delegate that takes only a part of the model is no failure, but worth a word. */
private fun noteOn(
    options: EngineOptions,
    manifest: Manifest,
): String =
    if (options.delegate == Delegate.GPU && manifest.precision.startsWith("int")) {
        "The GPU computes in floats: the mask of an integer model may differ a little. Prefer float16."
    } else {
        ""
    }

/**
 * What a runtime throws, as a message. A missing native library or class is an `Error` in Java, and no reason to end.
 */
internal fun <T> orMessage(
    name: String,
    options: EngineOptions,
    action: () -> T,
): T {
    fun message(error: Throwable): DemoError {
        val remedy =
            if (options.delegate.onCpu) {
                "The file may be cut short or damaged: export it again."
            } else {
                "Choose the CPU."
            }
        return DemoError("$name does not run on ${options.delegate.label}: ${reasonOf(error)}. $remedy", error)
    }
    return try {
        action()
    } catch (error: DemoError) {
        throw error
    } catch (error: LinkageError) {
        throw message(error)
    } catch (
        @Suppress("TooGenericExceptionCaught") error: RuntimeException, // as TensorFlow Lite's Java API throws
    ) {
        throw message(error)
    }
}
