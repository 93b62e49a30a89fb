package dev.mobileseg.core

import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject
import java.nio.ByteBuffer

/** The format read here; `mobile_seg/manifest.py` writes it and says what the fields mean. */
const val FORMAT_VERSION = 1

/** Name of the manifest inside a model file. */
const val MEMBER = "mobile_seg.json"

private const val TFLITE_MARK = "TFL3"
private const val MARK_AT = 4
private const val MOST_CLASSES = 254
private const val BYTE = 255

val INPUT_TYPES = listOf("uint8", "int8", "float32")
val OUTPUT_KINDS = listOf("logits", "logits-full", "labels", "labels-nearest")

/** The image tensor, `[1, height, width, 3]`, RGB; the image is stretched to it. */
data class InputSpec(
    val height: Int,
    val width: Int,
    val dtype: String,
    val mean: Float,
    val std: Float,
    val normalizedOutside: Boolean,
)

/** The segmentation tensor: `[1, height, width, classes]`, or class ids `[1, height, width]`. */
data class OutputSpec(
    val kind: String,
    val height: Int,
    val width: Int,
    val dtype: String,
) {
    /** Whether it holds class ids rather than logits. */
    val givesLabels get() = kind.startsWith("labels")
}

/** All that the app knows of a model. `palette` is 0xRRGGBB, one per class. */
data class Manifest(
    val model: String,
    val precision: String,
    val input: InputSpec,
    val output: OutputSpec,
    val classes: List<String>,
    val palette: List<Int>,
)

/**
 * @param name of the file, for messages
 * @throws DemoError if it is no TFLite file, has no manifest, or one that this app cannot follow
 */
fun readManifest(
    file: ByteBuffer,
    name: String,
): Manifest {
    if (!hasMark(file)) {
        throw DemoError("$name is not a TFLite model. Bundle a .tflite file that `mobile-seg export` wrote.")
    }
    val member =
        readMember(file, MEMBER) ?: throw DemoError(
            "$name carries no manifest, so its classes, colours and input are not known: it was not written by " +
                "mobile-seg, or it is cut short. Export the model with `mobile-seg export` and bundle that file.",
        )
    return parseManifest(String(member, Charsets.UTF_8), name)
}

/**
 * @param text JSON
 * @throws DemoError if this app cannot follow it
 */
fun parseManifest(
    text: String,
    name: String,
): Manifest {
    val found =
        try {
            JSONObject(text)
        } catch (error: JSONException) {
            throw DemoError("The manifest in $name is not JSON (${reasonOf(error)}). Export the model again.", error)
        }
    val version = found.opt("format_version")
    if (version is Int && version > FORMAT_VERSION) {
        throw DemoError(
            "The manifest in $name has format $version, this app reads $FORMAT_VERSION. " +
                "Update the app: upgrade mobile-seg, then build and install its android_demo again.",
        )
    }
    if (version != FORMAT_VERSION) throw unusable(name, "format $version")
    return try {
        manifestOf(found).also { made -> problemOf(found, made)?.let { throw unusable(name, it) } }
    } catch (error: JSONException) {
        throw unusable(name, reasonOf(error), error)
    }
}

private fun hasMark(file: ByteBuffer): Boolean =
    file.limit() >= MARK_AT + TFLITE_MARK.length &&
        TFLITE_MARK.indices.all { file.get(MARK_AT + it) == TFLITE_MARK[it].code.toByte() }

private fun manifestOf(found: JSONObject): Manifest {
    val (input, output) = found.getJSONObject("input") to found.getJSONObject("output")
    val names = found.getJSONArray("classes")
    val colours = found.getJSONArray("palette")
    return Manifest(
        model = found.getString("model"),
        precision = found.getString("precision"),
        input =
            InputSpec(
                height = input.getInt("height"),
                width = input.getInt("width"),
                dtype = input.getString("dtype"),
                mean = input.getDouble("mean").toFloat(),
                std = input.getDouble("std").toFloat(),
                normalizedOutside = input.optBoolean("normalized_outside"),
            ),
        output =
            OutputSpec(
                kind = output.getString("kind"),
                height = output.getInt("height"),
                width = output.getInt("width"),
                dtype = output.getString("dtype"),
            ),
        classes = List(names.length(), names::getString),
        palette = List(colours.length()) { colourOf(colours.getJSONArray(it)) },
    )
}

private fun colourOf(row: JSONArray): Int {
    val channels = List(row.length(), row::getInt)
    if (channels.size != 3 || channels.any { it !in 0..BYTE }) throw JSONException("a colour is not three bytes")
    val (red, green, blue) = channels
    return (red shl 16) or (green shl 8) or blue
}

private fun problemOf(
    found: JSONObject,
    made: Manifest,
): String? {
    val (input, output) = made.input to made.output
    val task = found.optString("task", "semantic")
    val resize = found.getJSONObject("input").optString("resize", "stretch-bilinear")
    val layouts = listOf("input", "output").map { it to found.getJSONObject(it).optString("layout", "nhwc") }
    val rules =
        listOf(
            (task == "semantic") to "its task is $task, this app shows semantic segmentation",
            made.classes.isNotEmpty() to "it names no classes",
            (made.classes.size <= MOST_CLASSES) to
                "it names ${made.classes.size} classes, this app shows up to $MOST_CLASSES",
            (made.palette.size == made.classes.size) to
                "${made.classes.size} classes but ${made.palette.size} colours",
            (input.height > 0 && input.width > 0) to "it has no input size",
            (output.height > 0 && output.width > 0) to "it has no output size",
            (input.dtype in INPUT_TYPES) to "input dtype ${input.dtype}, expected $INPUT_TYPES",
            (output.kind in OUTPUT_KINDS) to "output kind ${output.kind}, expected $OUTPUT_KINDS",
            (output.dtype in OUTPUT_TYPES) to "output dtype ${output.dtype}, expected $OUTPUT_TYPES",
            (resize == "stretch-bilinear") to "resize $resize",
            (input.dtype != "int8" || !input.normalizedOutside) to
                "int8 input of normalized values, whose scale it does not state; export with --io uint8",
            (input.dtype != "float32" || !input.normalizedOutside || input.std > 0) to "it divides by std ${input.std}",
        ) + layouts.map { (of, layout) -> (layout == "nhwc") to "$of layout $layout, expected nhwc" }
    return rules.firstOrNull { (holds) -> !holds }?.second
}

private fun unusable(
    name: String,
    problem: String,
    cause: Throwable? = null,
) = DemoError("The manifest in $name cannot be used: $problem. Export the model again.", cause)
