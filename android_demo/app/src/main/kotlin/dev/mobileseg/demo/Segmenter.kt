package dev.mobileseg.demo

import android.os.Handler
import android.os.Looper
import dev.mobileseg.core.DemoError
import dev.mobileseg.core.EngineOptions
import dev.mobileseg.core.Manifest
import dev.mobileseg.core.Mask
import dev.mobileseg.core.ModelEntry
import dev.mobileseg.core.Stage
import dev.mobileseg.core.Started
import dev.mobileseg.core.Starter
import dev.mobileseg.core.readManifest
import java.util.concurrent.Executors

/** A model that is ready, as the screen shows it. */
class Opened(
    val entry: ModelEntry,
    val manifest: Manifest,
    val options: EngineOptions,
    val notice: String,
    val bytes: Int,
)

/** A mask, valid until the next frame is given, and what it took in milliseconds. */
class Segmented(
    val mask: Mask,
    val times: Map<Stage, Float>,
)

/**
 * Owns the model in use and the one thread it is used from: a GPU delegate works on the thread that made it only.
 * Answers come on the main thread.
 */
class Segmenter(
    private val library: ModelLibrary,
    private val starter: Starter,
) {
    private val worker = Executors.newSingleThreadExecutor { Thread(it, "inference") }
    private val main = Handler(Looper.getMainLooper())
    private var started: Started? = null

    fun open(
        entry: ModelEntry,
        options: EngineOptions,
        done: (Result<Opened>) -> Unit,
    ) = work(done) {
        val model = library.read(entry)
        val manifest = readManifest(model, entry.file)
        val next = starter.start(model, manifest, entry.file, options)
        started?.pipeline?.close()
        started = next
        Opened(entry, manifest, options.copy(delegate = next.delegate), next.notice, model.limit())
    }

    /** @param read writes the frame's pixels at the model's size; on the inference thread, and counted as `pre` */
    fun segment(
        read: (IntArray) -> Unit,
        done: (Result<Segmented>) -> Unit,
    ) = work(done) {
        val pipeline = started?.pipeline ?: throw DemoError("Open a model first.")
        val times = pipeline.run(read)
        Segmented(pipeline.mask, times)
    }

    fun close() {
        worker.execute { started?.pipeline?.close() }
        worker.shutdown()
    }

    private fun <T> work(
        done: (Result<T>) -> Unit,
        action: () -> T,
    ) = worker.execute {
        val result = runCatching(action)
        main.post { done(result) }
    }
}
