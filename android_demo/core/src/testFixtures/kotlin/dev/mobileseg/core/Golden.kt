package dev.mobileseg.core

import org.json.JSONObject
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** The folder that `tests/golden/apps.py` wrote; that file says what is in it and when an app passes. */
object Golden {
    val folder = File(requireNotNull(System.getProperty("golden")) { "give the golden files with -Dgolden=FOLDER" })
    private val index = JSONObject(File(folder, "index.json").readText())
    val cases = index.getJSONArray("cases").let { rows -> List(rows.length()) { GoldenCase(rows.getJSONObject(it)) } }

    /** Files that an app must refuse, and words of the message. */
    val bad: Map<File, String> =
        index.getJSONArray("bad").let { rows ->
            List(rows.length(), rows::getJSONObject).associate {
                File(folder, it.getString("file")) to
                    it.getString("says")
            }
        }

    fun model(name: String) = map(File(folder, "models/$name.tflite"))
}

class GoldenCase(
    row: JSONObject,
) {
    val name: String = row.getString("name")
    val model = File(Golden.folder, row.getString("model"))
    val png = File(Golden.folder, row.getString("png"))
    val labels = File(Golden.folder, row.getString("labels")).readBytes()
    private val image = File(Golden.folder, row.getString("image")).readBytes()
    private val output = File(Golden.folder, row.getString("output")).readBytes()
    private val margin = floats(File(Golden.folder, row.getString("margin")).readBytes())
    private val tolerance = row.getDouble("tolerance")
    private val logits = row.getBoolean("logits")

    /** The image as a bitmap has it in memory. */
    fun rgba() =
        IntArray(image.size / 3) { pixel ->
            (0..2).fold(0xff shl 24) { word, c -> word or (image[3 * pixel + c].toInt() and 0xff shl 8 * c) }
        }

    /** What is wrong with an output and a mask, by the two rules; empty if nothing is. */
    fun problem(
        given: ByteBuffer,
        dtype: String,
        mask: ByteArray,
    ): String {
        if (logits) {
            val found = ByteArray(given.limit()).also { given.duplicate().get(it) }
            val errors = values(found, dtype).zip(values(output, dtype)) { a, b -> kotlin.math.abs(a - b) }
            if (found.size != output.size ||
                errors.max() > tolerance
            ) {
                return "$name: off by ${errors.max()}, $tolerance is allowed"
            }
        }
        return wrongIn(mask)
    }

    /** The second rule alone. */
    fun wrongIn(mask: ByteArray): String {
        val wrong = mask.indices.count { mask[it] != labels[it] && margin[it] > 2 * tolerance }
        return if (wrong == 0) "" else "$name: $wrong pixels have another class"
    }
}

private fun values(
    bytes: ByteArray,
    dtype: String,
): List<Double> =
    when (dtype) {
        "float32" -> floats(bytes).map { it.toDouble() }
        "int8" -> bytes.map { it.toDouble() }
        else -> bytes.map { (it.toInt() and 0xff).toDouble() }
    }

private fun floats(bytes: ByteArray): FloatArray =
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().let { from ->
        FloatArray(from.limit(), from::get)
    }
