package dev.mobileseg.core

import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import java.io.File

/**
 * `-Dresults=FOLDER` keeps the files, which `tests/e2e/test_android.py` reads with what reads them from a phone.
 */
class BenchmarkTest {
    @get:Rule val temporary = TemporaryFolder()

    private val file = Golden.cases.first { it.name.startsWith("street_int8_logits_uint8") }.model
    private val results get() = System.getProperty("results")?.let(::File) ?: temporary.root

    private fun request(
        delegate: Delegate = Delegate.XNNPACK,
        model: File = file,
        runs: Int = 3,
    ) = BenchmarkRequest(model, EngineOptions(delegate), warmup = 2, runs = runs)

    private fun written(
        name: String,
        request: BenchmarkRequest,
    ): JSONObject {
        val path = File(results, "$name.json")
        writeWhole(Benchmark(::DesktopEngine).answer(request), path)
        assertFalse(File("$path.partial").exists())
        return JSONObject(path.readText())
    }

    @Test
    fun `a run on each set of kernels`() {
        val operations = countOperations(map(file))
        val plain = written("none", request(Delegate.NONE))
        assertEquals(0 to operations, plain.getInt("delegated") to plain.getInt("left"))
        val fast = written("xnnpack", request())
        assertTrue(fast.getInt("delegated") > 0)
        assertEquals(operations, fast.getInt("delegated") + fast.getInt("left"))
        for (result in listOf(plain, fast)) {
            assertEquals(RESULT_SCHEMA, result.getString("schema"))
            assertEquals(3, result.getJSONArray("samples_ms").length())
            assertTrue(result.getDouble("init_ms") > 0 && result.getDouble("first_run_ms") > 0)
            assertTrue(result.getLong("peak_memory_bytes") >= 0)
            assertTrue(result.getJSONObject("versions").getString("tflite").matches(Regex("""\d+\.\d+\.\d+""")))
        }
    }

    @Test
    fun `models of floats, too`() {
        val model = Golden.cases.first { "float32_logits_float" in it.name }.model
        assertEquals(3, written("floats", request(model = model)).getJSONArray("samples_ms").length())
    }

    @Test
    fun `what cannot be measured is said in one line`() {
        val missing = temporary.root.resolve("missing.tflite")
        val expected =
            mapOf(
                "gpu" to request(Delegate.GPU) to "does not run on GPU: this machine has no GPU. Choose the CPU.",
                "missing" to request(model = missing) to "cannot be read",
                "runs" to request(runs = 0) to "threads and runs of 1 or more",
                "bad" to request(model = Golden.folder.resolve("bad/no_model.tflite")) to "export it again",
            )
        for ((asked, says) in expected) {
            val (name, request) = asked
            val result = written("error_$name", request)
            assertTrue(result.toString(), says in result.getString("error"))
            assertEquals(setOf("schema", "error"), result.keySet())
        }
    }

    @Test
    fun `a delegate that tells nothing is not measured`() {
        val silent =
            object : Engine by FakeEngine(manifestOf()) {
                override val taken: Taken? = null
            }
        val result = Benchmark({ _, _ -> silent }).answer(request())
        assertTrue("does not say which operations" in result.getString("error"))
    }

    @Test
    fun `memory is what the process took at most`() {
        val before = highWaterMark()
        val block = ByteArray(64 shl 20) { 1 }
        assertTrue(highWaterMark() >= maxOf(before, block.size.toLong()))
    }
}
