package dev.mobileseg.core

import org.json.JSONArray
import org.json.JSONObject
import java.io.File
import java.io.IOException
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/** The schema of `mobile_seg/profiling/runners/result.py`, which says what the fields mean. */
const val RESULT_SCHEMA = "mobile-seg.run/1"

private const val NANOS = 1e6
private const val FEWEST = 1

/** What to measure, as `mobile_seg/profiling/runners/app.py` asks for it. */
data class BenchmarkRequest(
    val model: File,
    val options: EngineOptions,
    val warmup: Int,
    val runs: Int,
)

/** Measures a model alone, on noise. */
class Benchmark(
    private val factory: EngineFactory,
    private val peakMemory: () -> Long = ::highWaterMark,
    private val clock: () -> Long = System::nanoTime,
) {
    /** The result as JSON; what cannot be measured is said in it. */
    fun answer(request: BenchmarkRequest): JSONObject =
        try {
            measure(request)
        } catch (error: DemoError) {
            failure(describe(error))
        } catch (error: IOException) {
            failure("${request.model} cannot be read (${reasonOf(error)}).")
        }

    private fun measure(request: BenchmarkRequest): JSONObject {
        check(request)
        val before = peakMemory()
        val begun = clock()
        val model = map(request.model)
        return orMessage(request.model.name, request.options) { factory.open(model, request.options) }.use { engine ->
            val opened = clock()
            val run = runner(engine)
            orMessage(request.model.name, request.options) {
                val first = run()
                repeat(request.warmup) { run() }
                val samples = List(request.runs) { run() }
                resultOf(engine)
                    .put("init_ms", (opened - begun) / NANOS)
                    .put("first_run_ms", first)
                    .put("samples_ms", JSONArray(samples))
                    .put("peak_memory_bytes", peakMemory() - before)
            }
        }
    }

    /** One inference on noise, in milliseconds. */
    private fun runner(engine: Engine): () -> Double {
        val input = direct(engine.input.bytes).also { noise(it, engine.input.dtype) }
        val output = direct(engine.output.bytes)
        return {
            input.clear()
            output.clear()
            val begun = clock()
            engine.run(input, output)
            (clock() - begun) / NANOS
        }
    }
}

/** `{"schema": …, "error": one line}`. */
fun failure(reason: String): JSONObject =
    JSONObject().put("schema", RESULT_SCHEMA).put("error", reason.lineSequence().joinToString(" ").trim())

/** Writes under another name and renames, so that a file that is there is whole. */
fun writeWhole(
    result: JSONObject,
    path: File,
) {
    val partial = File("$path.partial")
    path.parentFile?.mkdirs()
    partial.writeText(result.toString())
    if (!partial.renameTo(path)) throw IOException("$partial cannot be renamed to $path")
}

/** The process's high-water mark of memory in bytes (Linux: VmHWM). */
fun highWaterMark(): Long {
    val line = File("/proc/self/status").useLines { lines -> lines.first { it.startsWith("VmHWM:") } }
    return line.filter(Char::isDigit).toLong() * 1024
}

/** A file in memory, without a copy of it. */
fun map(file: File): ByteBuffer =
    RandomAccessFile(file, "r").use { opened -> opened.channel.map(FileChannel.MapMode.READ_ONLY, 0, opened.length()) }

private fun check(request: BenchmarkRequest) {
    if (request.runs < FEWEST || request.warmup < 0 || request.options.threads < FEWEST) {
        throw DemoError("A benchmark takes threads and runs of 1 or more, and warmup of 0 or more.")
    }
}

private fun resultOf(engine: Engine): JSONObject {
    val (name, version) = engine.version
    val taken =
        engine.taken ?: throw DemoError(
            "The runtime ran the model but does not say which operations the delegate took: this phone does not show " +
                "apps their own log. Measure it with --runner benchmark_model.",
        )
    return JSONObject()
        .put("schema", RESULT_SCHEMA)
        .put("delegated", taken.delegated)
        .put("left", taken.left)
        .put("partitions", taken.partitions)
        .put("versions", JSONObject().put(name, version))
}

/** Pseudo-random values from a fixed seed: the same as the C runner feeds. */
private fun noise(
    input: ByteBuffer,
    dtype: String,
) {
    var seed = 1
    val next = { (seed * 1664525 + 1013904223).also { seed = it } }
    while (input.hasRemaining()) {
        if (dtype == "float32") input.putFloat((next() ushr 8) / 16777216f) else input.put((next() ushr 24).toByte())
    }
}
